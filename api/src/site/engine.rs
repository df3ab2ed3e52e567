//! One evaluation of a template: its own environment, budget and thread.
//!
//! The thread is there for its stack. The engine's parser, compiler and values recurse as deep as the template nests;
//! a stack of known size makes the outcome of that independent of who calls, and a page is rendered once per change.

use std::fmt::Write;
use std::sync::Arc;

use minijinja::machinery::{CodeGenerator, eval, make_string_output};
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, HtmlEscape, Output, State, UndefinedBehavior};

use super::budget::{Budget, Spent};
use super::dialect::{NAME, translate};
use super::error::RenderError;
use super::filters;
use super::operators::Bounded;
use super::render::Limits;

/// Address space, not memory: pages of it are used as far as a template nests.
const STACK: usize = 32 * 1024 * 1024;

/// Runs something on a deep stack and waits for it.
fn on_deep_stack<T: Send>(work: impl FnOnce() -> Result<T, RenderError> + Send) -> Result<T, RenderError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("render".to_owned()).stack_size(STACK);
        let running = thread.spawn_scoped(scope, work).map_err(|_| RenderError::Unavailable)?;
        running.join().unwrap_or(Err(RenderError::Unavailable))
    })
}

/// Compiles without rendering.
pub(super) fn check(source: &str) -> Result<(), RenderError> {
    on_deep_stack(|| {
        let rebuilt = translate(source)?;
        CodeGenerator::new(NAME, source).compile_stmt(&rebuilt);
        Ok(())
    })
}

/// Renders the source as it is, without a layout.
pub(super) fn run(source: &str, context: Value, limits: &Limits) -> Result<String, RenderError> {
    on_deep_stack(|| {
        let budget = Arc::new(Budget::new(limits.work_bytes, limits.emit_bytes(), limits.value_bytes));
        let env = environment(limits, &budget);
        let rebuilt = translate(source)?;
        let mut generator = CodeGenerator::new(NAME, source);
        generator.compile_stmt(&rebuilt);
        let (instructions, blocks) = generator.finish();
        let mut html = String::new();
        let mut output = make_string_output(&mut html);
        let outcome = eval(&env, &instructions, context, &blocks, &mut output, AutoEscape::Html).map(|_| ());
        outcome.map_err(|error| explain(&error, &budget, limits))?;
        if html.len() > limits.output_bytes {
            return Err(RenderError::TooLarge { limit: limits.output_bytes });
        }
        Ok(html)
    })
}

fn environment<'a>(limits: &Limits, budget: &Arc<Budget>) -> Environment<'a> {
    let mut env = Environment::empty();
    env.set_fuel(Some(limits.fuel));
    env.set_recursion_limit(limits.recursion);
    env.set_undefined_behavior(UndefinedBehavior::Chainable);
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    let own = Arc::clone(budget);
    env.set_formatter(move |output, _: &mut State, value| emit(&own, output, value));
    filters::register(&mut env, budget);
    env
}

/// Everything a template writes comes through here, literal text included; what is not marked safe is escaped.
fn emit(budget: &Budget, output: &mut Output, value: &Value) -> Result<(), Error> {
    let mut counted = Counted { output, budget };
    let written = match value.as_str() {
        Some(text) if value.is_safe() => counted.write_str(text),
        Some(text) => write!(counted, "{}", HtmlEscape(text)),
        None if value.is_undefined() || value.is_none() => Ok(()),
        None if value.is_number() => write!(counted, "{value}"),
        None => {
            let mut text = Bounded { text: String::new(), budget };
            write!(text, "{value}").and_then(|()| write!(counted, "{}", HtmlEscape(&text.text)))
        }
    };
    written.map_err(|_| Error::new(ErrorKind::WriteFailure, "the page is too large"))
}

struct Counted<'a, 'b, 'c> {
    output: &'a mut Output<'b>,
    budget: &'c Budget,
}

impl Write for Counted<'_, '_, '_> {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        self.budget.emit(part.len()).map_err(|_| std::fmt::Error)?;
        self.output.write_str(part)
    }
}

fn explain(error: &Error, budget: &Budget, limits: &Limits) -> RenderError {
    let line = error.line().unwrap_or(0);
    match budget.spent() {
        Some(Spent::Work) => return RenderError::Fuel { line },
        Some(Spent::Output) => return RenderError::TooLarge { limit: limits.output_bytes },
        Some(Spent::Depth) => return RenderError::Recursion { line },
        None => {}
    }
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.kind() {
        ErrorKind::OutOfFuel => RenderError::Fuel { line },
        ErrorKind::InvalidOperation if message.contains("recursion limit") => RenderError::Recursion { line },
        ErrorKind::UndefinedError => RenderError::Undefined { line, message },
        ErrorKind::SyntaxError => RenderError::Syntax { line, message },
        ErrorKind::UnknownFilter | ErrorKind::UnknownFunction | ErrorKind::UnknownMethod | ErrorKind::UnknownTest => {
            let what = message.strip_suffix(" is unknown").unwrap_or(&message).to_owned();
            RenderError::Unknown { line, what }
        }
        _ => RenderError::Invalid { line, message },
    }
}
