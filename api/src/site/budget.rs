//! What one rendering may use besides instructions. The engine's fuel counts instructions, but one instruction can
//! double a text or walk a long list: this counts bytes and elements.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// The weight of an element of a list or map, in bytes; a text weighs its length besides.
const NODE: u64 = 32;
/// Values nest at most this deep: comparing, printing and dropping them recurses.
const MAX_DEPTH: usize = 32;

/// The reason a budget refused to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    Work = 1,
    Output = 2,
    Depth = 3,
}

/// Counters of one rendering. It lives on one thread; atomics only because the engine's functions must be `Sync`.
#[derive(Debug)]
pub(super) struct Budget {
    work_left: AtomicU64,
    emit_left: AtomicU64,
    max_value: u64,
    spent: AtomicU8,
}

impl Budget {
    /// `work`: bytes and elements touched. `emit`: bytes written, those captured in variables included.
    /// `max_value`: the weight of one value.
    pub(super) fn new(work: u64, emit: u64, max_value: u64) -> Self {
        Self { work_left: work.into(), emit_left: emit.into(), max_value, spent: AtomicU8::new(0) }
    }

    pub(super) fn spent(&self) -> Option<Spent> {
        match self.spent.load(Relaxed) {
            1 => Some(Spent::Work),
            2 => Some(Spent::Output),
            3 => Some(Spent::Depth),
            _ => None,
        }
    }

    fn refuse(&self, why: Spent) -> Error {
        self.spent.store(why as u8, Relaxed);
        Error::new(ErrorKind::InvalidOperation, "the template does too much")
    }

    /// Before work of this size is done.
    pub(super) fn charge(&self, amount: u64) -> Result<(), Error> {
        take(&self.work_left, amount).ok_or_else(|| self.refuse(Spent::Work))
    }

    /// Whether one value may be this large.
    pub(super) fn fits(&self, size: u64) -> Result<(), Error> {
        if size > self.max_value { Err(self.refuse(Spent::Work)) } else { Ok(()) }
    }

    /// Before a value of this size is made.
    pub(super) fn reserve(&self, size: u64) -> Result<(), Error> {
        self.fits(size)?;
        self.charge(size)
    }

    /// Before this many bytes are written.
    pub(super) fn emit(&self, bytes: usize) -> Result<(), Error> {
        take(&self.emit_left, bytes as u64).ok_or_else(|| self.refuse(Spent::Output))
    }

    /// Charges the weight of a value; refuses one that is too heavy or too deep. A list that holds one part many times
    /// weighs as if each were its own, because whatever walks it will see it so.
    pub(super) fn weigh(&self, value: &Value) -> Result<(), Error> {
        let mut left = self.max_value;
        let outcome = descend(value, &mut left, MAX_DEPTH);
        self.charge(self.max_value - left)?;
        outcome.map_err(|why| self.refuse(why))
    }
}

fn take(left: &AtomicU64, amount: u64) -> Option<()> {
    let rest = left.load(Relaxed).checked_sub(amount)?;
    left.store(rest, Relaxed);
    Some(())
}

fn descend(value: &Value, left: &mut u64, depth: usize) -> Result<(), Spent> {
    let own = value.as_str().map_or(0, str::len).max(value.as_bytes().map_or(0, <[u8]>::len)) as u64;
    *left = left.checked_sub(NODE + own).ok_or(Spent::Work)?;
    let kind = value.kind();
    if !matches!(kind, ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or(Spent::Depth)?;
    // A map yields its keys.
    for item in value.try_iter().into_iter().flatten() {
        descend(&item, left, depth)?;
        if kind == ValueKind::Map {
            descend(&value.get_item(&item).unwrap_or_default(), left, depth)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_counts_shared_parts_each_time() {
        let budget = Budget::new(1 << 20, 10, 1 << 16);
        let mut value = Value::from("x");
        for _ in 0..8 {
            value = Value::from(vec![value.clone(), value]);
        }
        budget.weigh(&value).unwrap();
        for _ in 0..20 {
            value = Value::from(vec![value.clone(), value]);
        }
        budget.weigh(&value).unwrap_err();
        assert_eq!(budget.spent(), Some(Spent::Work));
    }

    #[test]
    fn deep_values_are_refused() {
        let budget = Budget::new(1 << 20, 10, 1 << 16);
        let value = (0..40).fold(Value::from(1), |inner, _| Value::from(vec![inner]));
        budget.weigh(&value).unwrap_err();
        assert_eq!(budget.spent(), Some(Spent::Depth));
        budget.emit(10).unwrap();
        budget.emit(1).unwrap_err();
        assert_eq!(budget.spent(), Some(Spent::Output));
    }
}
