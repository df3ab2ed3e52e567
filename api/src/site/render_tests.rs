//! What an author may write, what escapes, and what is stopped.

use std::time::{Duration, Instant};

use super::error::RenderError;
use super::render::{Limits, PageContext, PageFields, Renderer, SiteFields};

fn context() -> PageContext {
    PageContext {
        page: PageFields {
            title: "<script>alert(1)</script>".into(),
            description: "\" onload=\"alert(1)".into(),
            slug: "about".into(),
            path: "/about".into(),
            site: "main".into(),
            language: "de".into(),
            published_at: Some("2026-03-05T14:00:00Z".into()),
            revision: 3,
        },
        site: SiteFields { name: "Tea & Co".into(), tenant: "acme".into(), host: "acme.example".into() },
        data: serde_json::json!({"items": [{"name": "Tea", "price": 450}, {"name": "Cup", "price": 1200}], "n": 3}),
    }
}

fn body(source: &str) -> Result<String, RenderError> {
    // A document is not wrapped, so what follows the marker is the source's own output.
    let document = format!("<html>{source}");
    let rendered = Renderer.render(&document, &context(), &Limits::default())?;
    Ok(rendered.html.strip_prefix("<html>").unwrap().to_owned())
}

#[test]
fn templates_mean_what_jinja_means() {
    for (source, expected) in [
        ("{{ 1 + 2 * 3 }} {{ 7 // 2 }} {{ 7 / 2 }} {{ 2 ** 5 }} {{ 'a' ~ 1 ~ none }}", "7 3 3.5 32 a1"),
        ("{{ 'ab' * 2 }} {{ 'a' + 'b' }} {{ ([1] + [2])|join('-') }}", "abab ab 1-2"),
        ("{{ 'hello'[1:3] }}{{ 'hello'[-1] }}{{ [1,2,3][::-1]|join }}", "elo321"),
        ("{% for i in data['items'] if i.price > 500 %}{{ loop.index }}{{ i.name }}{% else %}none{% endfor %}", "1Cup"),
        ("{% for i in range(3) %}{{ i }}{{ ',' if not loop.last }}{% endfor %}", "0,1,2"),
        ("{% set a, b = [1, 2] %}{{ b }}{{ a }}{% set c %}<i>{{ a }}</i>{% endset %}{{ c }}", "21<i>1</i>"),
        ("{% macro m(x, y=2) %}<b>{{ x }}{{ y }}</b>{% endmacro %}{{ m('<') }}", "<b>&lt;2</b>"),
        ("{% macro box() %}[{{ caller() }}]{% endmacro %}{% call box() %}in{% endcall %}", "[in]"),
        ("{% filter upper %}<p>{{ data.n }}{% endfilter %}", "<P>3"),
        ("{% with x = 4 %}{{ x }}{% endwith %}{{ x }}{{ missing.deeply.so }}{{ none }}", "4"),
        ("{% if 1 < data.n <= 3 and 'Tea' in ['Tea'] and data.n is odd %}y{% elif true %}n{% endif %}", "y"),
        ("{{ data['items']|map(attribute='price')|sum }} {{ data['items']|length }}", "1650 2"),
        ("{{ data['items']|sort(attribute='name')|join(', ', attribute='name') }}", "Cup, Tea"),
        ("{{ {'a': 1}.a }}{{ 'x y'|title|replace(' ', '-') }}{{ missing|default('d') }}", "1X-Yd"),
        ("{{ page.published_at|date }} {{ 1250|money('EUR') }}", "5 March 2026 12.50 EUR"),
        (
            "{{ page.slug }}{{ page.path|safe }}{{ page.site }}{{ page.revision }}{{ site.host }}",
            "about/aboutmain3acme.example",
        ),
        (
            "{% for k, v in {'a': 1}|dictsort %}{{ k }}={{ v }}{% endfor %}{# gone #}{% raw %}{{ }}{% endraw %}",
            "a=1{{ }}",
        ),
        ("{% for x in [[1, [2]]] recursive %}{{ loop(x) if x is sequence else x }}{% endfor %}", "12"),
        ("{{ 9007199254740993 * 1 }}{{ '{:>3}' }}", "9007199254740993{:&gt;3}"),
    ] {
        assert_eq!(body(source).as_deref(), Ok(expected), "{source}");
        Renderer.check(source, &Limits::default()).unwrap();
    }
}

#[test]
fn values_are_escaped_everywhere() {
    let hostile = "<script>alert('1')</script>\"&";
    let mut context = context();
    context.data = serde_json::json!({"x": hostile, "list": [hostile], "map": {hostile: hostile}});
    for source in [
        "{{ data.x }}",
        "<a title=\"{{ data.x }}\">",
        "{{ data.list }}",
        "{{ data.map }}",
        "{{ data.x ~ '' }}",
        "{{ data.x + data.x }}",
        "{{ data.x * 2 }}",
        "{{ data.x[0:40] }}",
        "{{ data.list|join('<') }}",
        "{{ data.x|replace('a', '<') }}",
        "{{ '<b>'|safe ~ data.x }}",
        "{{ data.x|upper }}{{ data.x|title }}{{ data.x|trim }}",
        "{{ data.list|first }}{{ data.map|items }}",
        "{% set y = data.x %}{{ y }}{% filter trim %}{{ data.x }}{% endfilter %}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(data.x) }}",
        "{{ data.x|e }}{{ data.x|escape|string }}",
        "{{ ('<b>'|safe)|join(data.x) }}{{ ['<b>'|safe]|join(data.x) }}",
    ] {
        let html = Renderer.render(source, &context, &Limits::default()).unwrap().html;
        let main = html.split_once("<main").unwrap().1;
        assert!(!main.to_lowercase().contains("<script"), "{source}: {main}");
        let quoted = main.split_once("title=\"").map(|(_, rest)| rest.split_once('"').unwrap().0);
        assert!(quoted.is_none_or(|value| value.ends_with("&amp;")), "{source}: {main}");
    }
    assert!(Renderer.render("{{ data.x|safe }}", &context, &Limits::default()).unwrap().html.contains(hostile));
}

#[test]
fn a_fragment_gets_the_default_layout() {
    let rendered = Renderer.render("<h1>{{ site.name }}</h1>", &context(), &Limits::default()).unwrap();
    assert!(rendered.wrapped);
    for part in [
        "<!doctype html>\n<html lang=\"de\">",
        "<meta name=\"viewport\"",
        "<title>&lt;script&gt;alert(1)&lt;&#x2f;script&gt; – Tea &amp; Co</title>",
        "<meta name=\"description\" content=\"&quot; onload=&quot;alert(1)\">",
        "<link rel=\"canonical\" href=\"https://acme.example&#x2f;about\">",
        "<h1>Tea &amp; Co</h1>",
    ] {
        assert!(rendered.html.contains(part), "{part}: {}", rendered.html);
    }
    assert_eq!(Renderer.render("<h1>{{ site.name }}</h1>", &context(), &Limits::default()).unwrap(), rendered);
    let own = Renderer.render("\n<!DOCTYPE html><html><p>{{ page.slug }}", &context(), &Limits::default()).unwrap();
    assert_eq!((own.wrapped, own.html.as_str()), (false, "\n<!DOCTYPE html><html><p>about"));
}

#[test]
fn mistakes_are_named_with_their_line() {
    let line = |source: &str| Renderer.check(source, &Limits::default()).unwrap_err();
    assert!(matches!(line("a\n{% if %}"), RenderError::Syntax { line: 2, .. }));
    assert!(matches!(line("\n\n{{ x|shout }}"), RenderError::Unknown { line: 3, .. }));
    assert!(matches!(line("{{ x is shouting }}"), RenderError::Unknown { line: 1, .. }));
    for source in [
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{% import 'x' as x %}",
        "{% from 'x' import y %}",
        "{% autoescape false %}{% endautoescape %}",
        "{{ namespace(a=1) }}",
        "{{ debug() }}",
        "{% set a.b = 1 %}",
        "{{ self.a() }}",
        "{{ super() }}",
        "{{ dict(a=1) }}",
    ] {
        assert!(
            matches!(line(source), RenderError::Unsupported { line: 1, .. } | RenderError::Syntax { .. }),
            "{source}"
        );
    }
    assert!(matches!(body("\n{{ now() }}"), Err(RenderError::Unknown { line: 2, .. })), "{:?}", body("\n{{ now() }}"));
    assert!(matches!(body("{{ missing + 1 }}"), Err(RenderError::Undefined { line: 1, .. })));
    assert!(matches!(body("{{ 1 / 0 }}"), Err(RenderError::Invalid { line: 1, .. })));
    assert!(matches!(body("{{ [1]|map('nothing') }}"), Err(RenderError::Unknown { .. })));
    let huge = " ".repeat(Limits::default().source_bytes + 1);
    assert!(matches!(line(&huge), RenderError::SourceTooLarge { .. }));
    assert!(line("\n{{").to_string().starts_with("line 2"), "{}", line("\n{{"));
}

/// Each of these asks for unbounded time, memory or stack from a few lines.
fn hostile() -> Vec<String> {
    let doubling = |line: &str| line.repeat(60);
    let x = "{% set x = 'aaaaaaaaaaaaaaaa' %}";
    let nested = "{% for a in range(9999) %}".repeat(6) + "x" + &"{% endfor %}".repeat(6);
    vec![
        nested,
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(),
        "{% macro m(n) %}{{ m([n]) }}{% endmacro %}{{ m(1) }}".into(),
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}".into(),
        "{% macro m() %}{{ caller() }}{% endmacro %}{% macro r() %}{% call m() %}{{ r() }}{% endcall %}{% endmacro %}{{ r() }}".into(),
        format!("{{% for a in range(60000) %}}{}{{% endfor %}}", "x".repeat(1000)),
        x.to_owned() + &doubling("{% set x = x ~ x %}"),
        x.to_owned() + &doubling("{% set x = x + x %}"),
        x.to_owned() + &doubling("{% set x = x * 99 %}"),
        x.to_owned() + &doubling("{% set x = [x, x]|join %}"),
        x.to_owned() + &doubling("{% set x = x|replace('', x) %}"),
        x.to_owned() + &doubling("{% set x = x|replace('a', x) %}"),
        x.to_owned() + &doubling("{% set x %}{{ x }}{{ x }}{% endset %}"),
        x.to_owned() + &doubling("{% set x %}{% filter upper %}{{ x }}{{ x }}{% endfilter %}{% endset %}"),
        "{% set x = [1] %}".to_owned() + &doubling("{% set x = [x, x] %}") + "{{ x == x }}{{ x }}",
        "{% set x = [1] %}".to_owned() + &doubling("{% set x = x + x %}") + "{{ x|length }}",
        "{% set x = {'a': 1} %}".to_owned() + &doubling("{% set x = {'a': x, 'b': x} %}") + "{{ x }}",
        "{% set x = (1,) %}".to_owned() + &doubling("{% set x = (x, x) %}") + "{{ {x: 1} }}",
        "{% set x = [1] %}".to_owned() + &"{% set x = [x] %}".repeat(10_000) + "{{ x }}",
        "{% set x = [1, 2, 3] %}".to_owned() + &"{% set x = x[0:] %}".repeat(10_000) + "{{ x|length / 0 }}",
        "{{ 'a' * 99999999 ~ 'a' * 99999999 ~ 'a' * 99999999 }}".into(),
        "{% for i in range(30000) %}{{ range(60000)|sum }}{% endfor %}".into(),
        "{% set x = 'ab' * 900000 %}{% for i in range(30000) %}{% if x == x ~ '' %}{% endif %}{% endfor %}".into(),
        "{% set x = 'ab' * 900000 %}{% for i in range(30000) %}{{ x[1799999] }}{% endfor %}".into(),
        "{% set x = 'ab' * 900000 %}{% for i in range(30000) %}{{ loop.changed(x) }}{% endfor %}".into(),
        "{% set x = 'ab' * 900000 %}{% for i in range(30000) %}{% for c in x %}{% endfor %}{% endfor %}".into(),
        "{% set x = 'ab' * 900000 %}{% for i in range(30000) %}{{ x is eq(x) }}{{ 'zz' in x }}{% endfor %}".into(),
        "{{ range(9223372036854775807) }}".into(),
        "{{ [1]|batch(99999999999) }}".into(),
        "{{ ''|indent(99999999999) }}".into(),
        "{{ '%99999999999d'|format(1) }}".into(),
        "{{ [range(50000)] | map('join', 'abcdefgh' * 100000) | list }}".into(),
        format!("{{{{ {}1 }}}}", "1+".repeat(100_000)),
        format!("{{{{ a{} }}}}", ".b".repeat(100_000)),
        format!("{{{{ a{} }}}}", "|e".repeat(100_000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(60_000)),
        format!("{{{{ {}1 }}}}", "1 if 1 else ".repeat(20_000)),
        "{% if 1 %}".to_owned() + &"{% elif 1 %}".repeat(20_000) + "{% endif %}",
        "{% if 1 %}".repeat(20_000),
        "{% filter e %}".repeat(15_000),
    ]
}

#[test]
fn hostile_templates_are_stopped_quickly() {
    for source in hostile() {
        let started = Instant::now();
        let outcome = body(&source);
        let took = started.elapsed();
        let shown = &source[..source.len().min(120)];
        assert!(outcome.is_err(), "{shown}");
        // Unoptimised code on a busy machine; in a release build the slowest takes a few dozen milliseconds.
        assert!(took < Duration::from_secs(10), "{took:?}: {shown}");
    }
    assert!(matches!(body(&hostile()[0]), Err(RenderError::Fuel { .. })));
    assert!(matches!(body(&hostile()[1]), Err(RenderError::Recursion { .. })));
    assert!(matches!(body(&hostile()[5]), Err(RenderError::TooLarge { .. })));
    assert!(matches!(body(&hostile()[6]), Err(RenderError::Fuel { .. })));
}

#[test]
fn what_is_just_within_the_limits_fits_the_stack() {
    for source in [
        format!("{{{{ {}1 }}}}", "1+".repeat(298)),
        format!("{{{{ a{} }}}}", ".b".repeat(298)),
        format!("{{{{ 'x'{} }}}}", "|e".repeat(298)),
        format!("{{{{ 'x'{} }}}}", "[0]".repeat(199)),
        format!("{{{{ {}1 }}}}", "not ".repeat(590)),
        format!("{{{{ {}1{} }}}}", "[".repeat(30), "]".repeat(30)),
        "{% if 0 %}".to_owned() + &"{% elif 0 %}".repeat(200) + "{% endif %}",
        "{% if 1 %}".repeat(140) + &format!("{{{{ {}1 }}}}", "1+".repeat(298)) + &"{% endif %}".repeat(140),
        format!(
            "{{% macro m(n) %}}{{% if n %}}{{{{ {}m(n - 1) }}}}{{% endif %}}{{% endmacro %}}{{{{ m(50) }}}}",
            "1~".repeat(200)
        ),
    ] {
        assert!(body(&source).is_ok(), "{:?}: {}", body(&source), &source[..80]);
    }
}

#[test]
fn arbitrary_sources_never_panic() {
    const PIECES: &[&str] = &[
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "{%-",
        "-%}",
        " for ",
        " in ",
        " if ",
        "elif",
        "else",
        "endfor",
        "endif",
        "set ",
        "endset",
        "macro ",
        "endmacro",
        "call ",
        "endcall",
        "filter ",
        "endfilter",
        "with ",
        "endwith",
        "raw",
        "endraw",
        "x",
        "y",
        "page",
        "data",
        "items",
        "loop",
        "range",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".",
        ",",
        ":",
        "|",
        "~",
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "**",
        "=",
        "==",
        "<",
        "not ",
        " is ",
        "and ",
        "or ",
        "join",
        "sort",
        "map",
        "date",
        "money",
        "replace",
        "upper",
        "slice",
        "e",
        "'",
        "\"",
        "a",
        "é",
        "\u{0}",
        "0",
        "1",
        "-1",
        "1.5",
        "99999999999999999999",
        "\\",
        "\n",
        "<b>",
        "none",
        "true",
        "recursive",
        "{% for x in data.items %}",
        "{% endfor %}",
        "{{ x }}",
        "{{ page.title ~ x }}",
    ];
    let limits =
        Limits { fuel: 5_000, work_bytes: 1 << 20, value_bytes: 1 << 16, output_bytes: 1 << 16, ..Limits::default() };
    // A fixed sequence (xorshift), so that a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let until = Instant::now() + Duration::from_secs(2);
    let mut rendered = 0;
    while Instant::now() < until {
        let mut source = String::new();
        for _ in 0..next(40) {
            source.push_str(PIECES[next(PIECES.len())]);
            if next(4) == 0 {
                source.push_str(["{{ ", " }}", "{% ", " %}", " "][next(5)]);
            }
        }
        // A panic in the rendering thread would come back as this error.
        let outcome = Renderer.render(&source, &context(), &limits);
        assert_ne!(outcome, Err(RenderError::Unavailable), "{source:?}");
        rendered += usize::from(outcome.is_ok());
    }
    assert!(rendered > 0);
}
