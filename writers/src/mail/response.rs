//! Whether a person opened a mail or followed a link, or a program did (spec/EMAIL.md 2.2).
//!
//! Nothing is thrown away: each hit gets a class and the name of the rule that gave it. The rules, first to last:
//!
//! | reason         | class         | when                                                                              |
//! |----------------|---------------|-----------------------------------------------------------------------------------|
//! | `not_a_get`    | scanner       | HEAD: nobody looks at the answer                                                  |
//! | `prefetch`     | prefetch      | `Sec-Purpose`, `Purpose` or `X-Moz` says so                                       |
//! | `honeypot`     | scanner       | the link that no person sees was followed within [`BURST`] of it                  |
//! | `program`      | scanner       | the agent names itself a program                                                  |
//! | `apple_proxy`  | machine_mpp   | a picture, and the agent is `Mozilla/5.0` and nothing more                        |
//! | `image_proxy`  | prefetch      | a picture, loaded by a mailbox's proxy within [`PROXY_SOON`] of delivery          |
//! | `many_links`   | scanner       | [`LINKS`] different links of the mail within [`BURST`]                            |
//! | `many_mails`   | scanner       | its network hit [`MAILS`] receivers' mails of the tenant within [`ORIGIN_WINDOW`] |
//! | `too_soon`     | scanner       | within [`SOON`] of delivery, or before it (a picture: prefetch)                   |
//! | `no_agent`     | unknown       | the request does not say what made it                                             |
//! | `no_rule`      | human         | none of these                                                                     |
//!
//! Delivery is when the provider took the mail, not when the campaign was sent. The numbers are reasoned, not measured on
//! real traffic: a false "program" hides a person from the default figures, a false "human" spoils them.

use bus_schema::mail::response::ResponseClass;

/// Hits of one mail within this are one burst, in microseconds.
pub const BURST: i64 = 2_000_000;
/// Different links of one mail within a burst, from which on no person follows them.
pub const LINKS: usize = 3;
/// After delivery no person follows a link so soon, in microseconds.
pub const SOON: i64 = 2_000_000;
/// Proxies of mailboxes that load pictures so soon after delivery do it for nobody, in microseconds.
pub const PROXY_SOON: i64 = 10_000_000;
/// Receivers whose mails one network hits within [`ORIGIN_WINDOW`], from which on it is no person's.
pub const MAILS: usize = 10;
/// In microseconds.
pub const ORIGIN_WINDOW: i64 = 60_000_000;
/// How much of an agent is looked at, in bytes.
const MAX_AGENT: usize = 512;

/// What is known of one hit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hit<'a> {
    /// A picture, not a link.
    pub open: bool,
    /// It was a GET.
    pub get: bool,
    /// A header says that it is loaded ahead.
    pub prefetch: bool,
    pub agent: Option<&'a str>,
    /// Microseconds since the provider took the mail; negative: before. Absent when that is not known.
    pub since_delivery: Option<i64>,
    /// What else came within the burst.
    pub burst: Burst,
    /// Receivers whose mails its network hit in the last [`ORIGIN_WINDOW`], itself included.
    pub mails_of_origin: usize,
}

/// Hits of the same mail around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Burst {
    /// Different links, the honeypot not counted.
    pub links: usize,
    pub honeypot: bool,
}

/// What a hit is taken for, and by which rule.
pub fn classify(hit: &Hit<'_>) -> (ResponseClass, &'static str) {
    use ResponseClass as C;
    let agent = hit.agent.unwrap_or_default().trim();
    let words = agent[..agent.floor_char_boundary(MAX_AGENT)].to_ascii_lowercase();
    let within = |time: i64| hit.since_delivery.is_some_and(|since| since < time);
    if !hit.get {
        return (C::Scanner, "not_a_get");
    }
    if hit.prefetch {
        return (C::Prefetch, "prefetch");
    }
    if hit.burst.honeypot {
        return (C::Scanner, "honeypot");
    }
    let proxy = IMAGE_PROXIES.iter().any(|name| words.contains(name));
    if !proxy && PROGRAMS.iter().any(|name| words.contains(name)) {
        return (C::Scanner, "program");
    }
    if hit.open && agent == APPLE {
        return (C::MachineMpp, "apple_proxy");
    }
    if hit.open && proxy && within(PROXY_SOON) {
        return (C::Prefetch, "image_proxy");
    }
    if hit.burst.links >= LINKS {
        return (C::Scanner, "many_links");
    }
    if hit.mails_of_origin >= MAILS {
        return (C::Scanner, "many_mails");
    }
    if within(SOON) {
        return (if hit.open { C::Prefetch } else { C::Scanner }, "too_soon");
    }
    if agent.is_empty() { (C::Unknown, "no_agent") } else { (C::Human, "no_rule") }
}

/// What Apple's proxies call themselves.
const APPLE: &str = "Mozilla/5.0";
/// Proxies through which mailboxes load pictures when somebody looks, and sometimes before.
const IMAGE_PROXIES: [&str; 2] = ["googleimageproxy", "yahoomailproxy"];
/// In the names of programs that follow links by themselves.
const PROGRAMS: [&str; 20] = [
    "bot",
    "crawl",
    "spider",
    "slurp",
    "preview",
    "scan",
    "monitor",
    "headless",
    "phantomjs",
    "curl/",
    "wget/",
    "python",
    "java/",
    "perl",
    "ruby",
    "go-http-client",
    "okhttp",
    "http-client",
    "barracuda",
    "proofpoint",
];

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const GMAIL: &str = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
    const LATER: i64 = 3_600_000_000;

    fn click() -> Hit<'static> {
        Hit {
            open: false,
            get: true,
            prefetch: false,
            agent: Some(FIREFOX),
            since_delivery: Some(LATER),
            burst: Burst { links: 1, honeypot: false },
            mails_of_origin: 1,
        }
    }

    fn open() -> Hit<'static> {
        Hit { open: true, burst: Burst::default(), ..click() }
    }

    #[test]
    fn every_rule_has_its_hit() {
        use ResponseClass as C;
        let many = Burst { links: LINKS, honeypot: false };
        let table = [
            (click(), C::Human, "no_rule"),
            (open(), C::Human, "no_rule"),
            (Hit { get: false, ..click() }, C::Scanner, "not_a_get"),
            (Hit { prefetch: true, ..click() }, C::Prefetch, "prefetch"),
            (Hit { burst: Burst { links: 1, honeypot: true }, ..click() }, C::Scanner, "honeypot"),
            (Hit { agent: Some("curl/8.9"), ..click() }, C::Scanner, "program"),
            (Hit { agent: Some("Mozilla/5.0"), ..open() }, C::MachineMpp, "apple_proxy"),
            (Hit { agent: Some("Mozilla/5.0"), ..click() }, C::Human, "no_rule"),
            (Hit { agent: Some(GMAIL), since_delivery: Some(5_000_000), ..open() }, C::Prefetch, "image_proxy"),
            (Hit { agent: Some(GMAIL), ..open() }, C::Human, "no_rule"),
            (Hit { burst: many, ..click() }, C::Scanner, "many_links"),
            (Hit { burst: Burst { links: LINKS - 1, ..many }, ..click() }, C::Human, "no_rule"),
            (Hit { mails_of_origin: MAILS, ..click() }, C::Scanner, "many_mails"),
            (Hit { since_delivery: Some(SOON - 1), ..click() }, C::Scanner, "too_soon"),
            (Hit { since_delivery: Some(-5), ..click() }, C::Scanner, "too_soon"),
            (Hit { since_delivery: Some(SOON), ..click() }, C::Human, "no_rule"),
            (Hit { since_delivery: None, ..click() }, C::Human, "no_rule"),
            (Hit { since_delivery: Some(1), ..open() }, C::Prefetch, "too_soon"),
            (Hit { agent: None, ..click() }, C::Unknown, "no_agent"),
            (Hit { agent: Some("  "), ..open() }, C::Unknown, "no_agent"),
        ];
        for (hit, class, reason) in table {
            assert_eq!(classify(&hit), (class, reason), "{hit:?}");
        }
        let long = "ä".repeat(600) + "bot";
        assert_eq!(classify(&Hit { agent: Some(&long), ..click() }).0, C::Human, "only the beginning is looked at");
    }
}
