//! The part of Jinja a page may use, and its translation into a form whose cost the engine can bound.
//!
//! The engine's own `+`, `*`, `~`, slices and literal text cost one instruction whatever they make; a page of forty
//! lines could ask for terabytes. So a parsed template is rebuilt: these become calls of [`super::operators`], literal
//! text becomes a value that passes the counting formatter, and list literals and operands of comparisons are weighed.

use minijinja::machinery::ast::{self, Expr, Spanned, Stmt};
use minijinja::machinery::{Span, Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;

use super::error::RenderError;
use super::filters::{is_filter, is_test};
use super::operators::{ADD, CONCAT, INDEXED, MUL, SLICE, WEIGH};

/// Tokens of one tag: the depth of the expression tree is below it, and walking the tree recurses.
const MAX_TAG_TOKENS: usize = 600;
/// `elif` branches of a template: each is one level of nesting.
const MAX_ELIFS: usize = 200;

/// The name under which errors speak of the page.
pub(super) const NAME: &str = "page";

/// Parses and rebuilds. Needs a stack of a few MiB: see [`super::engine`].
pub(super) fn translate(source: &str) -> Result<Stmt<'_>, RenderError> {
    check_shape(source)?;
    let parsed = parse(source, NAME, SyntaxConfig::default()).map_err(|error| syntax(&error))?;
    stmt(&parsed)
}

fn syntax(error: &minijinja::Error) -> RenderError {
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    RenderError::Syntax { line: error.line().unwrap_or(0), message }
}

/// Refuses what would make the parser itself recurse too deeply.
fn check_shape(source: &str) -> Result<(), RenderError> {
    let (mut tokens, mut elifs) = (0usize, 0usize);
    for token in tokenize(source, false, SyntaxConfig::default()) {
        let (token, span) = token.map_err(|error| syntax(&error))?;
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => tokens = 0,
            Token::Ident("elif") => elifs += 1,
            _ => {}
        }
        tokens += 1;
        if tokens > MAX_TAG_TOKENS || elifs > MAX_ELIFS {
            return Err(RenderError::TooComplex { line: usize::from(span.start_line) });
        }
    }
    Ok(())
}

fn unsupported<T>(span: Span, what: &str) -> Result<T, RenderError> {
    Err(RenderError::Unsupported { line: usize::from(span.start_line), what: what.to_owned() })
}

fn filter<'a>(name: &'a str, inner: Expr<'a>, args: Vec<ast::CallArg<'a>>, span: Span) -> Expr<'a> {
    Expr::Filter(Spanned::new(ast::Filter { name, expr: Some(inner), args }, span))
}

fn weighed<'a>(inner: Expr<'a>) -> Expr<'a> {
    let span = inner.span();
    filter(WEIGH, inner, Vec::new(), span)
}

type Body<'a> = Result<Vec<Stmt<'a>>, RenderError>;

fn body<'a>(stmts: &[Stmt<'a>]) -> Body<'a> {
    stmts.iter().map(stmt).collect()
}

fn exprs<'a>(list: &[Expr<'a>]) -> Result<Vec<Expr<'a>>, RenderError> {
    list.iter().map(expr).collect()
}

fn optional<'a>(inner: &Option<Expr<'a>>) -> Result<Option<Expr<'a>>, RenderError> {
    inner.as_ref().map(expr).transpose()
}

fn stmt<'a>(node: &Stmt<'a>) -> Result<Stmt<'a>, RenderError> {
    Ok(match node {
        Stmt::Template(s) => Stmt::Template(Spanned::new(ast::Template { children: body(&s.children)? }, s.span())),
        Stmt::EmitExpr(s) => Stmt::EmitExpr(Spanned::new(ast::EmitExpr { expr: expr(&s.expr)? }, s.span())),
        Stmt::EmitRaw(s) => {
            let value = Value::from_safe_string(s.raw.to_owned());
            let text = Expr::Const(Spanned::new(ast::Const { value }, s.span()));
            Stmt::EmitExpr(Spanned::new(ast::EmitExpr { expr: text }, s.span()))
        }
        Stmt::ForLoop(s) => {
            let rebuilt = ast::ForLoop {
                target: target(&s.target)?,
                iter: weighed(expr(&s.iter)?),
                filter_expr: optional(&s.filter_expr)?,
                recursive: s.recursive,
                body: body(&s.body)?,
                else_body: body(&s.else_body)?,
            };
            Stmt::ForLoop(Spanned::new(rebuilt, s.span()))
        }
        Stmt::IfCond(s) => {
            let (true_body, false_body) = (body(&s.true_body)?, body(&s.false_body)?);
            Stmt::IfCond(Spanned::new(ast::IfCond { expr: expr(&s.expr)?, true_body, false_body }, s.span()))
        }
        Stmt::WithBlock(s) => {
            let assignments = s.assignments.iter().map(|(to, from)| Ok((target(to)?, expr(from)?)));
            let assignments = assignments.collect::<Result<_, RenderError>>()?;
            Stmt::WithBlock(Spanned::new(ast::WithBlock { assignments, body: body(&s.body)? }, s.span()))
        }
        Stmt::Set(s) => {
            Stmt::Set(Spanned::new(ast::Set { target: target(&s.target)?, expr: expr(&s.expr)? }, s.span()))
        }
        Stmt::SetBlock(s) => {
            let (target, filter) = (target(&s.target)?, optional(&s.filter)?);
            Stmt::SetBlock(Spanned::new(ast::SetBlock { target, filter, body: body(&s.body)? }, s.span()))
        }
        Stmt::FilterBlock(s) => {
            let rebuilt = ast::FilterBlock { filter: expr(&s.filter)?, body: body(&s.body)? };
            Stmt::FilterBlock(Spanned::new(rebuilt, s.span()))
        }
        Stmt::Macro(s) => Stmt::Macro(Spanned::new(macro_decl(s)?, s.span())),
        Stmt::CallBlock(s) => {
            let call = Spanned::new(call(&s.call)?, s.call.span());
            let macro_decl = Spanned::new(macro_decl(&s.macro_decl)?, s.macro_decl.span());
            Stmt::CallBlock(Spanned::new(ast::CallBlock { call, macro_decl }, s.span()))
        }
        Stmt::Do(s) => Stmt::Do(Spanned::new(ast::Do { call: Spanned::new(call(&s.call)?, s.call.span()) }, s.span())),
        Stmt::AutoEscape(s) => return unsupported(s.span(), "`autoescape`"),
        Stmt::Block(s) => return unsupported(s.span(), "`block`"),
        Stmt::Import(s) => return unsupported(s.span(), "`import`"),
        Stmt::FromImport(s) => return unsupported(s.span(), "`from … import`"),
        Stmt::Extends(s) => return unsupported(s.span(), "`extends`"),
        Stmt::Include(s) => return unsupported(s.span(), "`include`"),
    })
}

/// What an assignment may name: variables and tuples of them.
fn target<'a>(node: &Expr<'a>) -> Result<Expr<'a>, RenderError> {
    Ok(match node {
        Expr::Var(s) => Expr::Var(Spanned::new(ast::Var { id: s.id }, s.span())),
        Expr::List(s) => Expr::List(Spanned::new(ast::List { items: targets(&s.items)? }, s.span())),
        Expr::Tuple(s) => Expr::Tuple(Spanned::new(ast::Tuple { items: targets(&s.items)? }, s.span())),
        other => return unsupported(other.span(), "setting a part of a value"),
    })
}

fn targets<'a>(items: &[Expr<'a>]) -> Result<Vec<Expr<'a>>, RenderError> {
    items.iter().map(target).collect()
}

fn macro_decl<'a>(s: &ast::Macro<'a>) -> Result<ast::Macro<'a>, RenderError> {
    Ok(ast::Macro { name: s.name, args: targets(&s.args)?, defaults: exprs(&s.defaults)?, body: body(&s.body)? })
}

fn call<'a>(s: &ast::Call<'a>) -> Result<ast::Call<'a>, RenderError> {
    let refused = match &s.expr {
        Expr::Var(var) if matches!(var.id, "super" | "namespace" | "dict" | "debug") => Some(var.id),
        Expr::GetAttr(attr) if matches!(&attr.expr, Expr::Var(var) if var.id == "self") => Some("self"),
        _ => None,
    };
    match refused {
        Some(name) => unsupported(s.expr.span(), &format!("`{name}`")),
        None => {
            // Methods such as `loop.changed` compare what they are given.
            let weigh = matches!(s.expr, Expr::GetAttr(_));
            Ok(ast::Call { expr: expr(&s.expr)?, args: args(&s.args, weigh)? })
        }
    }
}

fn args<'a>(list: &[ast::CallArg<'a>], weigh: bool) -> Result<Vec<ast::CallArg<'a>>, RenderError> {
    let one = |arg: &ast::CallArg<'a>| {
        Ok(match arg {
            ast::CallArg::Pos(e) if weigh => ast::CallArg::Pos(weighed(expr(e)?)),
            ast::CallArg::Pos(e) => ast::CallArg::Pos(expr(e)?),
            ast::CallArg::Kwarg(name, e) => ast::CallArg::Kwarg(name, expr(e)?),
            ast::CallArg::PosSplat(e) => ast::CallArg::PosSplat(weighed(expr(e)?)),
            ast::CallArg::KwargSplat(e) => ast::CallArg::KwargSplat(weighed(expr(e)?)),
        })
    };
    list.iter().map(one).collect()
}

fn expr<'a>(node: &Expr<'a>) -> Result<Expr<'a>, RenderError> {
    let span = node.span();
    Ok(match node {
        Expr::Var(s) => Expr::Var(Spanned::new(ast::Var { id: s.id }, span)),
        Expr::Const(s) => Expr::Const(Spanned::new(ast::Const { value: s.value.clone() }, span)),
        Expr::Slice(s) => {
            let bound = |bound: &Option<Expr<'a>>| {
                let none = || Expr::Const(Spanned::new(ast::Const { value: Value::from(()) }, span));
                Ok(ast::CallArg::Pos(optional(bound)?.unwrap_or_else(none)))
            };
            let bounds = vec![bound(&s.start)?, bound(&s.stop)?, bound(&s.step)?];
            filter(SLICE, expr(&s.expr)?, bounds, span)
        }
        Expr::UnaryOp(s) => {
            let is_not = matches!(s.op, ast::UnaryOpKind::Not);
            let op = if is_not { ast::UnaryOpKind::Not } else { ast::UnaryOpKind::Neg };
            Expr::UnaryOp(Spanned::new(ast::UnaryOp { op, expr: expr(&s.expr)? }, span))
        }
        Expr::BinOp(s) => binary(s, span)?,
        Expr::Compare(s) => {
            let one = |part: &ast::CompareOp<'a>| Ok(ast::CompareOp { op: part.op, expr: weighed(expr(&part.expr)?) });
            let ops = s.ops.iter().map(one).collect::<Result<_, RenderError>>()?;
            Expr::Compare(Spanned::new(ast::Compare { expr: weighed(expr(&s.expr)?), ops }, span))
        }
        Expr::IfExpr(s) => {
            let (test_expr, true_expr) = (expr(&s.test_expr)?, expr(&s.true_expr)?);
            let rebuilt = ast::IfExpr { test_expr, true_expr, false_expr: optional(&s.false_expr)? };
            Expr::IfExpr(Spanned::new(rebuilt, span))
        }
        Expr::Filter(s) => {
            known(is_filter(s.name), "filter", s.name, span)?;
            let rebuilt = ast::Filter { name: s.name, expr: optional(&s.expr)?, args: args(&s.args, false)? };
            Expr::Filter(Spanned::new(rebuilt, span))
        }
        Expr::Test(s) => {
            known(is_test(s.name), "test", s.name, span)?;
            Expr::Test(Spanned::new(
                ast::Test { name: s.name, expr: expr(&s.expr)?, args: args(&s.args, false)? },
                span,
            ))
        }
        Expr::GetAttr(s) => Expr::GetAttr(Spanned::new(ast::GetAttr { expr: expr(&s.expr)?, name: s.name }, span)),
        Expr::GetItem(s) => {
            let subscript_expr = weighed(expr(&s.subscript_expr)?);
            let list = filter(INDEXED, expr(&s.expr)?, Vec::new(), span);
            Expr::GetItem(Spanned::new(ast::GetItem { expr: list, subscript_expr }, span))
        }
        Expr::Call(s) => Expr::Call(Spanned::new(call(s)?, span)),
        Expr::List(s) => weighed(Expr::List(Spanned::new(ast::List { items: exprs(&s.items)? }, span))),
        Expr::Tuple(s) => weighed(Expr::Tuple(Spanned::new(ast::Tuple { items: exprs(&s.items)? }, span))),
        Expr::Map(s) => {
            let keys = s.keys.iter().map(|key| expr(key).map(weighed)).collect::<Result<_, _>>()?;
            weighed(Expr::Map(Spanned::new(ast::Map { keys, values: exprs(&s.values)? }, span)))
        }
    })
}

fn known(known: bool, what: &str, name: &str, span: Span) -> Result<(), RenderError> {
    let line = usize::from(span.start_line);
    if known { Ok(()) } else { Err(RenderError::Unknown { line, what: format!("{what} `{name}`") }) }
}

fn binary<'a>(s: &ast::BinOp<'a>, span: Span) -> Result<Expr<'a>, RenderError> {
    use ast::BinOpKind::{Add, Concat, Eq, Gt, Gte, In, Lt, Lte, Mul, Ne};
    let (left, right) = (expr(&s.left)?, expr(&s.right)?);
    let name = match s.op {
        Add => ADD,
        Mul => MUL,
        Concat => CONCAT,
        Eq | Ne | Lt | Lte | Gt | Gte | In => {
            let (left, right) = (weighed(left), weighed(right));
            return Ok(Expr::BinOp(Spanned::new(ast::BinOp { op: s.op, left, right }, span)));
        }
        _ => return Ok(Expr::BinOp(Spanned::new(ast::BinOp { op: s.op, left, right }, span))),
    };
    Ok(filter(name, left, vec![ast::CallArg::Pos(right)], span))
}
