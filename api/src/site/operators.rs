//! The operators that can make values grow, under a [`Budget`]. The dialect puts them in the place of the engine's own,
//! under names that no template can write.

use std::fmt::Write;
use std::sync::Arc;

use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::budget::Budget;

/// `a + b`
pub(super) const ADD: &str = "+";
/// `a * b`
pub(super) const MUL: &str = "*";
/// `a ~ b`
pub(super) const CONCAT: &str = "~";
/// `a[b:c:d]`
pub(super) const SLICE: &str = "[:]";
/// Charges the weight of a value and returns it: around list literals and the operands of comparisons.
pub(super) const WEIGH: &str = "=";
/// Charges a text and returns it: finding its n-th character walks it.
pub(super) const INDEXED: &str = "[]";

pub(super) fn register(env: &mut Environment<'_>, budget: &Arc<Budget>) {
    let own = Arc::clone(budget);
    env.add_filter(ADD, move |a: &Value, b: &Value| add(&own, a, b));
    let own = Arc::clone(budget);
    env.add_filter(MUL, move |a: &Value, b: &Value| mul(&own, a, b));
    let own = Arc::clone(budget);
    env.add_filter(CONCAT, move |a: &Value, b: &Value| concat(&own, a, b));
    let own = Arc::clone(budget);
    env.add_filter(SLICE, move |value: &Value, bounds: Rest<Value>| slice(&own, value, &bounds));
    let own = Arc::clone(budget);
    env.add_filter(WEIGH, move |value: Value| own.weigh(&value).map(|()| value));
    let own = Arc::clone(budget);
    env.add_filter(INDEXED, move |value: Value| own.charge(value.as_str().map_or(1, str::len) as u64).map(|()| value));
    let own = Arc::clone(budget);
    env.add_function("range", move |from: i64, to: Option<i64>, step: Option<i64>| range(&own, from, to, step));
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn impossible(op: &str, a: &Value, b: &Value) -> Error {
    if a.is_undefined() || b.is_undefined() {
        return Error::new(ErrorKind::UndefinedError, format!("cannot use {op} on a value that is not defined"));
    }
    invalid(format!("cannot use {op} between a {} and a {}", a.kind(), b.kind()))
}

/// Exact for whole numbers, else in floating point.
fn numbers(
    op: &str,
    a: &Value,
    b: &Value,
    whole: fn(i128, i128) -> Option<i128>,
    real: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    let as_whole = |value: &Value| if value.is_integer() { i128::try_from(value.clone()).ok() } else { None };
    if let (Some(a), Some(b)) = (as_whole(a), as_whole(b)) {
        let out_of_range = || invalid(format!("{a} {op} {b} is too large a number"));
        let result = whole(a, b).ok_or_else(out_of_range)?;
        return Ok(i64::try_from(result).map_or_else(|_| Value::from(result), Value::from));
    }
    let as_real = |value: &Value| if value.is_number() { f64::try_from(value.clone()).ok() } else { None };
    match (as_real(a), as_real(b)) {
        (Some(a), Some(b)) => Ok(Value::from(real(a, b))),
        _ => Err(impossible(op, a, b)),
    }
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn add(budget: &Budget, a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(left), Some(right)) = (a.as_str(), b.as_str()) {
        budget.reserve((left.len() + right.len()) as u64)?;
        return Ok(Value::from([left, right].concat()));
    }
    if is_list(a) && is_list(b) {
        budget.weigh(a)?;
        budget.weigh(b)?;
        let joined = Value::from(a.try_iter()?.chain(b.try_iter()?).collect::<Vec<_>>());
        return budget.weigh(&joined).map(|()| joined);
    }
    numbers("+", a, b, i128::checked_add, |a, b| a + b)
}

fn mul(budget: &Budget, a: &Value, b: &Value) -> Result<Value, Error> {
    let (text, count) = match (a.as_str(), b.as_str()) {
        (Some(text), None) => (text, b),
        (None, Some(text)) => (text, a),
        _ => return numbers("*", a, b, i128::checked_mul, |a, b| a * b),
    };
    let count = count.as_usize().ok_or_else(|| impossible("*", a, b))?;
    budget.reserve((text.len() as u64).saturating_mul(count as u64))?;
    // An empty text costs nothing however often it is repeated.
    Ok(Value::from(if text.is_empty() { String::new() } else { text.repeat(count) }))
}

fn concat(budget: &Budget, a: &Value, b: &Value) -> Result<Value, Error> {
    let mut text = Bounded { text: String::new(), budget };
    // Missing values are empty here as they are when shown.
    for part in [a, b].into_iter().filter(|part| !part.is_none()) {
        write!(text, "{part}").map_err(|_| too_much())?;
    }
    Ok(Value::from(text.text))
}

fn too_much() -> Error {
    invalid("the text is too long".to_owned())
}

/// A text that grows only as far as its budget.
pub(super) struct Bounded<'a> {
    pub(super) text: String,
    pub(super) budget: &'a Budget,
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        // Each part is charged once; the whole is held against the limit of one value.
        self.budget.charge(part.len() as u64).map_err(|_| std::fmt::Error)?;
        self.budget.fits((self.text.len() + part.len()) as u64).map_err(|_| std::fmt::Error)?;
        self.text.push_str(part);
        Ok(())
    }
}

fn slice(budget: &Budget, value: &Value, bounds: &[Value]) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(Value::from(Vec::<Value>::new()));
    }
    budget.weigh(value)?;
    let bound = |index: usize| match bounds.get(index) {
        None => Ok(None),
        Some(bound) if bound.is_none() || bound.is_undefined() => Ok(None),
        Some(bound) => {
            bound.as_i64().map(Some).ok_or_else(|| invalid("the bounds of a slice must be whole numbers".to_owned()))
        }
    };
    let (start, stop, step) = (bound(0)?, bound(1)?, bound(2)?.unwrap_or(1));
    if step == 0 {
        return Err(invalid("a slice cannot step by 0".to_owned()));
    }
    if let Some(text) = value.as_str() {
        let chars: Vec<char> = text.chars().collect();
        return Ok(Value::from(picked(chars.len(), start, stop, step).map(|i| chars[i]).collect::<String>()));
    }
    if !is_list(value) {
        return Err(invalid(format!("a {} cannot be sliced", value.kind())));
    }
    let items: Vec<Value> = value.try_iter()?.collect();
    Ok(Value::from(picked(items.len(), start, stop, step).map(|i| items[i].clone()).collect::<Vec<_>>()))
}

/// The indices a slice selects out of `len`, all below `len`.
fn picked(len: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> impl Iterator<Item = usize> {
    let (len, step) = (len as i128, i128::from(step));
    let absolute = |bound: i64| if bound < 0 { i128::from(bound) + len } else { i128::from(bound) };
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let bound = |given: Option<i64>, default: i128| given.map_or(default, |b| absolute(b).clamp(low, high));
    let (first, end) = if step > 0 { (low, high) } else { (high, low) };
    let (mut at, stop) = (bound(start, first), bound(stop, end));
    std::iter::from_fn(move || {
        let more = if step > 0 { at < stop } else { at > stop };
        let index = usize::try_from(at).ok().filter(|_| more);
        at += step;
        index
    })
}

fn range(budget: &Budget, from: i64, to: Option<i64>, step: Option<i64>) -> Result<Value, Error> {
    let (from, to) = to.map_or((0, from), |to| (from, to));
    let (from, to, step) = (i128::from(from), i128::from(to), i128::from(step.unwrap_or(1)));
    if step == 0 {
        return Err(invalid("a range cannot step by 0".to_owned()));
    }
    let count = ((to - from) + step - step.signum()) / step;
    let count = u64::try_from(count.max(0)).unwrap_or(u64::MAX);
    budget.reserve(count.saturating_mul(32))?;
    let items = (0..i128::from(count)).map(|index| Value::from((from + index * step) as i64));
    Ok(Value::from(items.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget::new(1 << 20, 1 << 20, 1 << 16)
    }

    fn ints(value: &Value) -> Vec<i64> {
        value.try_iter().unwrap().map(|item| item.as_i64().unwrap()).collect()
    }

    #[test]
    fn ranges_and_slices_follow_python() {
        for (from, to, step, expected) in [
            (3, None, None, vec![0, 1, 2]),
            (1, Some(4), None, vec![1, 2, 3]),
            (0, Some(10), Some(4), vec![0, 4, 8]),
            (5, Some(0), Some(-2), vec![5, 3, 1]),
            (5, Some(0), None, vec![]),
        ] {
            assert_eq!(ints(&range(&budget(), from, to, step).unwrap()), expected);
        }
        range(&budget(), i64::MIN, Some(i64::MAX), None).unwrap_err();
        let list = range(&budget(), 6, None, None).unwrap();
        for (start, stop, step, expected) in [
            (Some(1), Some(3), None, vec![1, 2]),
            (Some(-2), None, None, vec![4, 5]),
            (None, None, Some(-2), vec![5, 3, 1]),
            (None, Some(-4), None, vec![0, 1]),
            (Some(i64::MAX), Some(i64::MIN), Some(i64::MIN), vec![5]),
            (Some(9), Some(99), None, vec![]),
        ] {
            let bounds = [Value::from(start), Value::from(stop), Value::from(step)];
            assert_eq!(ints(&slice(&budget(), &list, &bounds).unwrap()), expected, "{bounds:?}");
        }
    }

    #[test]
    fn growth_is_refused_before_it_happens() {
        let budget = budget();
        mul(&budget, &Value::from("ab"), &Value::from(u64::MAX)).unwrap_err();
        mul(&budget, &Value::from(""), &Value::from(u64::MAX)).unwrap();
        let long = Value::from("x".repeat(40_000));
        concat(&budget, &long, &long).unwrap_err();
        add(&budget, &long, &long).unwrap_err();
        assert_eq!(add(&budget, &Value::from("a"), &Value::from("b")).unwrap().as_str(), Some("ab"));
        assert_eq!(mul(&budget, &Value::from(3), &Value::from(4)).unwrap(), Value::from(12));
        assert_eq!(add(&budget, &Value::from(1), &Value::from(0.5)).unwrap(), Value::from(1.5));
        mul(&budget, &Value::from(i128::MAX), &Value::from(2)).unwrap_err();
    }
}
