//! What goes wrong in a sink, and how often: decided by a seed, the connection's number and the mail's number on it, so a
//! run with one connection after another repeats exactly.

use std::time::Duration;

/// Where something can go wrong, in the order in which a mail passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    Greeting,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// After the answer to DATA and the first bytes of the message: its dot is not read.
    Body,
    /// The dot is read, and the mail is not taken.
    Dot,
    /// The mail stands in the ledger, and its client does not know.
    Taken,
}

/// What happens there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// This is said, and nothing is done. A 421 ends the connection. It may have several lines.
    Say(String),
    /// The connection ends without a word.
    Drop,
    /// It takes longer, and then goes on.
    Wait(Duration),
}

/// One thing that goes wrong in `percent` of the cases.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub at: Point,
    /// 0 to 100.
    pub percent: f64,
    pub act: Act,
}

/// Everything that goes wrong. For each point the faults are asked in order; the first that applies happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    seed: u64,
    list: Vec<Fault>,
}

impl Faults {
    pub fn new(seed: u64, list: Vec<Fault>) -> Self {
        Self { seed, list }
    }

    pub fn none() -> Self {
        Self::new(0, Vec::new())
    }

    /// Always this one thing.
    pub fn always(at: Point, act: Act) -> Self {
        Self::new(0, vec![Fault { at, percent: 100.0, act }])
    }

    pub(super) fn at(&self, point: Point, connection: u64, mail: u32) -> Option<&Act> {
        let listed = self.list.iter().enumerate().filter(|(_, fault)| fault.at == point);
        for (index, fault) in listed {
            let parts = [connection, u64::from(mail), point as u64, index as u64];
            let drawn = parts.into_iter().fold(self.seed, |state, part| mixed(state ^ mixed(part)));
            // 53 bits make an even fraction of one.
            if (drawn >> 11) as f64 / (1u64 << 53) as f64 * 100.0 < fault.percent {
                return Some(&fault.act);
            }
        }
        None
    }
}

/// The finalizer of SplitMix64: every input bit changes half of the output.
fn mixed(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_keeps_its_percentage() {
        let faults = |seed| Faults::new(seed, vec![Fault { at: Point::Dot, percent: 5.0, act: Act::Drop }]);
        let drawn = |seed| -> Vec<bool> {
            let faults = faults(seed);
            (0..20_000).map(|mail| faults.at(Point::Dot, mail / 100, (mail % 100) as u32).is_some()).collect()
        };
        let hits = drawn(7).iter().filter(|hit| **hit).count();
        assert!((900..1100).contains(&hits), "{hits} of 20000 at 5 percent");
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        assert_eq!(faults(7).at(Point::Mail, 0, 0), None);
        assert!(Faults::always(Point::Mail, Act::Drop).at(Point::Mail, 3, 4).is_some());
    }
}
