//! The filters, tests and functions of page templates.
//!
//! From Jinja, with its meaning: `upper lower title capitalize trim length count default d first last sort reverse
//! unique groupby dictsort items map select reject selectattr rejectattr sum min max abs round int float string bool
//! list lines split attr escape e safe`, and `join` and `replace`, whose results are always escaped when shown.
//!
//! Of the platform:
//!
//! | filter | example | result |
//! |---|---|---|
//! | `date(format="%-d %B %Y")` | `{{ page.published_at\|date }}` | `5 March 2026` (UTC, strftime codes) |
//! | `money(currency, decimal=".", group=",")` | `{{ 123450\|money("EUR") }}` | `1,234.50 EUR` |
//!
//! `money` reads minor units, or an object with `amount` and `currency`. The only function is `range`.

use std::fmt::Write;
use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, filters, tests};

use super::budget::Budget;
use super::{format, operators};

const OWN_FILTERS: &[&str] = &["join", "replace", "date", "money"];

/// Whether a template may use this filter.
pub fn is_filter(name: &str) -> bool {
    OWN_FILTERS.contains(&name) || builtin_filters().iter().any(|(known, _)| *known == name)
}

/// Whether a template may use this test (`is …`).
pub fn is_test(name: &str) -> bool {
    builtin_tests().iter().any(|(known, _)| *known == name)
}

/// Filters whose results are at most a few times their input, so that weighing before and after is enough.
fn builtin_filters() -> &'static [(&'static str, Value)] {
    use std::sync::OnceLock;
    static TABLE: OnceLock<Vec<(&str, Value)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        macro_rules! table {
            ($($name:ident)*) => { vec![$((stringify!($name), Value::from_function(filters::$name))),*] };
        }
        let mut table = table!(
            upper lower title capitalize trim length default first last sort reverse unique groupby dictsort items map
            select reject selectattr rejectattr sum min max abs round int float string bool list lines split attr
            escape safe
        );
        table.push(("count", Value::from_function(filters::length)));
        table.push(("d", Value::from_function(filters::default)));
        table.push(("e", Value::from_function(filters::escape)));
        table
    })
}

fn builtin_tests() -> &'static [(&'static str, Value)] {
    use std::sync::OnceLock;
    static TABLE: OnceLock<Vec<(&str, Value)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        macro_rules! table {
            ($($name:literal $function:ident)*) => { vec![$(($name, Value::from_function(tests::$function))),*] };
        }
        table!(
            "undefined" is_undefined "defined" is_defined "none" is_none "safe" is_safe "escaped" is_safe
            "boolean" is_boolean "odd" is_odd "even" is_even "divisibleby" is_divisibleby "number" is_number
            "integer" is_integer "int" is_integer "float" is_float "string" is_string "sequence" is_sequence
            "iterable" is_iterable "mapping" is_mapping "startingwith" is_startingwith "endingwith" is_endingwith
            "lower" is_lower "upper" is_upper "eq" is_eq "equalto" is_eq "==" is_eq "ne" is_ne "!=" is_ne
            "lt" is_lt "lessthan" is_lt "<" is_lt "le" is_le "<=" is_le "gt" is_gt "greaterthan" is_gt ">" is_gt
            "ge" is_ge ">=" is_ge "in" is_in "true" is_true "false" is_false
        )
    })
}

pub(super) fn register(env: &mut Environment<'_>, budget: &Arc<Budget>) {
    for (name, filter) in builtin_filters() {
        env.add_filter(*name, bounded(filter, budget));
    }
    for (name, test) in builtin_tests() {
        let (test, budget) = (test.clone(), Arc::clone(budget));
        env.add_test(*name, move |state: &mut State, args: Rest<Value>| {
            args.iter().try_for_each(|arg| budget.weigh(arg))?;
            test.call(state, &args).map(|value| value.is_true())
        });
    }
    let own = Arc::clone(budget);
    env.add_filter("join", move |value: &Value, by: Option<&Value>, kwargs: Kwargs| join(&own, value, by, &kwargs));
    let own = Arc::clone(budget);
    env.add_filter("replace", move |text: &Value, from: &Value, to: &Value| replace(&own, text, from, to));
    env.add_filter("date", format::date);
    env.add_filter("money", format::money);
    operators::register(env, budget);
}

/// A filter that weighs what goes in and what comes out. A lazy result becomes a list, so that nothing runs unseen later.
fn bounded(
    filter: &Value,
    budget: &Arc<Budget>,
) -> impl Fn(&mut State, Rest<ValueOrKwargs>) -> Result<Value, Error> + Send + Sync + 'static {
    let (filter, budget) = (filter.clone(), Arc::clone(budget));
    move |state, args| {
        let args = args.into_values();
        args.iter().try_for_each(|arg| budget.weigh(arg))?;
        let result = filter.call(state, &args)?;
        budget.weigh(&result)?;
        Ok(match result.kind() {
            ValueKind::Iterable => Value::from(result.try_iter()?.collect::<Vec<_>>()),
            _ => result,
        })
    }
}

fn text_of<'a>(budget: &Budget, value: &'a Value) -> Result<std::borrow::Cow<'a, str>, Error> {
    if let Some(text) = value.as_str() {
        budget.charge(text.len() as u64)?;
        return Ok(text.into());
    }
    if value.is_undefined() {
        return Ok("".into());
    }
    budget.weigh(value)?;
    let mut text = operators::Bounded { text: String::new(), budget };
    write!(text, "{value}").map_err(|_| Error::new(ErrorKind::InvalidOperation, "the text is too long"))?;
    Ok(text.text.into())
}

fn join(budget: &Budget, value: &Value, by: Option<&Value>, kwargs: &Kwargs) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(Value::from(""));
    }
    budget.weigh(value)?;
    let separator = by.map(|by| text_of(budget, by)).transpose()?.unwrap_or_default();
    let attribute: Option<&str> = kwargs.get("attribute")?;
    kwargs.assert_all_used()?;
    let mut joined = operators::Bounded { text: String::new(), budget };
    let too_long = |_| Error::new(ErrorKind::InvalidOperation, "the text is too long");
    for (index, item) in value.try_iter()?.enumerate() {
        let item = attribute.map_or(Ok(item.clone()), |name| item.get_attr(name))?;
        if index > 0 {
            joined.write_str(&separator).map_err(too_long)?;
        }
        joined.write_str(&text_of(budget, &item)?).map_err(too_long)?;
    }
    Ok(Value::from(joined.text))
}

fn replace(budget: &Budget, text: &Value, from: &Value, to: &Value) -> Result<Value, Error> {
    let (text, from, to) = (text_of(budget, text)?, text_of(budget, from)?, text_of(budget, to)?);
    let places = text.matches(&*from).count() as u64;
    budget.reserve((text.len() as u64).saturating_add(places.saturating_mul(to.len() as u64)))?;
    Ok(Value::from(text.replace(&*from, &to)))
}
