use super::*;
use proptest::prelude::*;

/// The targets that were found, and the text with each replaced by its number.
fn numbered(replace: impl Fn(&mut dyn FnMut(&str) -> Option<String>) -> String) -> (Vec<String>, String) {
    let mut found = Vec::new();
    let text = replace(&mut |target: &str| {
        let http = target.to_ascii_lowercase().starts_with("http");
        http.then(|| {
            found.push(target.to_owned());
            format!("L{}", found.len() - 1)
        })
    });
    (found, text)
}

fn html(source: &str) -> (Vec<String>, String) {
    numbered(|each| in_html(source, each))
}

fn text(source: &str) -> (Vec<String>, String) {
    numbered(|each| in_text(source, each))
}

#[test]
fn check_48_every_href_is_replaced_and_nothing_else() {
    let table = [
        (r#"<a href="https://x.example/a">b</a>"#, vec!["https://x.example/a"], r#"<a href="L0">b</a>"#),
        ("<A class=b\n HREF = 'HTTPS://x.example'>", vec!["HTTPS://x.example"], "<A class=b\n HREF = 'L0'>"),
        ("<a href=https://x.example/a>b", vec!["https://x.example/a"], r#"<a href="L0">b"#),
        ("<a href=https://x.example/a/ b>", vec!["https://x.example/a/"], r#"<a href="L0" b>"#),
        (r#"<area href="https://x.example"/>"#, vec!["https://x.example"], r#"<area href="L0"/>"#),
        (r#"<a href=" https://x.example ">"#, vec!["https://x.example"], r#"<a href="L0">"#),
        (
            r#"<!--[if mso]><v:roundrect href="https://x.example"><![endif]--><a href="https://y.example">"#,
            vec!["https://x.example", "https://y.example"],
            r#"<!--[if mso]><v:roundrect href="L0"><![endif]--><a href="L1">"#,
        ),
        (r#"<a title="<a href='https://n.example'>" href="https://x.example">"#, vec!["https://x.example"], ""),
    ];
    for (source, targets, expected) in table {
        let (found, out) = html(source);
        assert_eq!(found, targets, "{source}");
        assert!(expected.is_empty() || out == expected, "{out}");
    }
    for untouched in [
        r#"<a href="mailto:a@x.example">"#,
        r#"<a href="tel:+491234">"#,
        r##"<a href="#top">"##,
        r#"<a href="/relative">"#,
        r#"<a data-no-track href="https://x.example">"#,
        r#"<a href="https://x.example" DATA-NO-TRACK="1">"#,
        r#"<!-- <a href="https://x.example"> -->"#,
        r#"<style>a { b: "<a href='https://x.example'>" }</style>"#,
        r#"<script>"<a href='https://x.example'>"</script >"#,
        r#"<link href="https://x.example"><base href="https://x.example"><img src="https://x.example">"#,
        r#"<a data-href="https://x.example">"#,
        "<a href=\"https://x.example",
        "a < b <3 <a",
        "<",
        "<!--",
        "",
    ] {
        assert_eq!(html(untouched), (vec![], untouched.to_owned()));
    }
}

#[test]
fn check_48_a_target_is_what_a_browser_asks_for() {
    for (written, target) in [
        ("https://x.example/?a=1&amp;b=2", "https://x.example/?a=1&b=2"),
        ("https://x.example/?a=1&b=2#c", "https://x.example/?a=1&b=2#c"),
        ("https://x.example/?a=%26amp%3B&amp;amp;", "https://x.example/?a=%26amp%3B&amp;"),
        ("https://x.example/?a&#38;b&#x26;c&#X26;d", "https://x.example/?a&b&c&d"),
        ("https://x.example/?lt=1&gt=2&copy=3", "https://x.example/?lt=1&gt=2&copy=3"),
        ("https://x.example/?flag&debug&b", "https://x.example/?flag&debug&b"),
        ("https://x.example/?a&ampb", "https://x.example/?a&ampb"),
        ("https://x.example/?a=&#;&", "https://x.example/?a=&#;&"),
        ("https://x.example/?a&;b", "https://x.example/?a&;b"),
    ] {
        assert_eq!(html(&format!(r#"<a href="{written}">"#)).0, [target], "{written}");
    }
    // Where a browser would find a character that is not known here, the link stays.
    for left in
        ["https://x.example/?a&copy", "https://x.example/?a&eacute;b", "https://x.example/&#10;", "https://x/&#233;"]
    {
        assert_eq!(html(&format!(r#"<a href="{left}">"#)).0, Vec::<String>::new(), "{left}");
    }
    assert!(LEGACY.is_sorted());
}

#[test]
fn a_new_target_is_escaped() {
    let out = in_html("<a href='https://x.example'>", |_| Some("https://y.example/?a='\"<>&b".into()));
    assert_eq!(out, "<a href='https://y.example/?a=&#39;&quot;&lt;&gt;&amp;b'>");
}

#[test]
fn links_of_plain_text_end_where_a_reader_ends_them() {
    let (found, out) =
        text("See https://x.example/a?b=c#d, or (http://y.example/(z)). <HTTPS://w.example>\nhttps://v.example/.");
    assert_eq!(found, ["https://x.example/a?b=c#d", "http://y.example/(z)", "HTTPS://w.example", "https://v.example/"]);
    assert_eq!(out, "See L0, or (L1). <L2>\nL3.");
    for none in ["ftp://x.example", "://", "mailto:a@b", "xhttp:/y", ""] {
        assert_eq!(text(none), (vec![], none.to_owned()));
    }
}

proptest! {
    /// Whatever comes in: without a replacement nothing changes, and replacing does not panic.
    #[test]
    fn nothing_changes_by_itself(source in "(<|>|a|href|=|\"|'|/| |&|amp;|#|https://x|<!--|-->|\\[if|style|\\PC){0,40}") {
        prop_assert_eq!(in_html(&source, |_| None), source.clone());
        prop_assert_eq!(in_text(&source, |_| None), source.clone());
        html(&source);
        text(&source);
    }
}
