//! A position in the log as people copy it: `1742`, or behind its cell as lists and messages print it, `eu1:1742`.

use bus_schema::Cell;

/// Reads a position; a cell before it is passed over, since a platform has one.
pub(super) fn position(text: &str) -> Result<u64, String> {
    let number = match text.split_once(':') {
        Some((cell, number)) if Cell::try_new(cell).is_ok() => number,
        _ => text,
    };
    number.parse().map_err(|_| "a position is a number like 1742 or eu1:1742".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_may_be_behind_its_cell() {
        assert_eq!((position("1742"), position("eu1:1742")), (Ok(1_742), Ok(1_742)));
        for bad in ["", "eu1:", ":7", "eu1:7:8", "-1", "2026-11-22T09:30:00Z", "EU 1:7"] {
            assert!(position(bad).is_err(), "{bad}");
        }
    }
}
