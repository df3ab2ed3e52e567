//! Links of mails that lead over this platform: which mail, which link and where to stands in the link itself, under a key
//! of the tenant.
//!
//! So a link works without a look at anything stored, for as long as the tenant exists, and the platform redirects only to
//! what one of its tenants wrote into a mail: there is no open redirect (spec/EMAIL.md 3.1, checks 48 and 49). The target is
//! kept byte for byte.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bus_schema::{
    TenantId,
    keys::TenantKey,
    mail::response::{HONEYPOT, MailRef, Seat},
};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Before it, so that another form can follow.
const VERSION: u8 = 1;
/// Bytes of a target. Browsers and mail programs cut much longer links; such a one is left as it is.
pub const MAX_TARGET: usize = 2_000;
/// Characters of a token.
const MAX_TOKEN: usize = 3_000;
/// Bytes of the proof at the end.
const PROOF: usize = 16;
/// What the proof is for.
const WHAT: &str = "mail.link";
/// Bytes of a target's label.
const MAX_LABEL: usize = 200;

/// A mail whose links they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedMail {
    pub tenant: TenantId,
    pub mail: MailRef,
}

/// What a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    /// The picture that says that the mail was opened.
    Pixel,
    /// A link, and where it leads.
    Link { number: u16, target: String },
}

impl TrackedMail {
    /// The token of the picture.
    pub fn pixel(&self, key: &TenantKey) -> String {
        self.token(key, &Spot::Pixel)
    }

    /// The token of a link; `None`: that target cannot be redirected to.
    pub fn link(&self, key: &TenantKey, number: u16, target: &str) -> Option<String> {
        is_target(target).then(|| self.token(key, &Spot::Link { number, target: target.to_owned() }))
    }

    fn token(&self, key: &TenantKey, spot: &Spot) -> String {
        let mut bytes = self.payload(spot);
        let proof = key.seal_of(WHAT, &bytes);
        bytes.extend_from_slice(&proof);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn payload(&self, spot: &Spot) -> Vec<u8> {
        let tenant = self.tenant.as_str().as_bytes();
        let MailRef { campaign, contact, seat, generation } = &self.mail;
        let seat = seat.unwrap_or(Seat { chunk: 0, index: 0 });
        let mut bytes = vec![VERSION, u8::try_from(tenant.len()).unwrap_or(u8::MAX)];
        bytes.extend_from_slice(tenant);
        bytes.extend_from_slice(campaign.as_bytes());
        bytes.extend_from_slice(contact.as_bytes());
        bytes.extend_from_slice(&seat.chunk.to_be_bytes());
        bytes.extend_from_slice(&seat.index.to_be_bytes());
        bytes.extend_from_slice(&generation.to_be_bytes());
        match spot {
            Spot::Pixel => bytes.push(0),
            Spot::Link { number, target } => {
                bytes.push(1);
                bytes.extend_from_slice(&number.to_be_bytes());
                bytes.extend_from_slice(target.as_bytes());
            }
        }
        bytes
    }

    /// What a token says, before that is proven: the tenant's key is needed for [`Unproven::proven`].
    pub fn read(token: &str) -> Option<Unproven> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|_| token.len() <= MAX_TOKEN)?;
        let (payload, proof) = bytes.split_at_checked(bytes.len().checked_sub(PROOF)?)?;
        let proof = proof.try_into().ok()?;
        let mut rest = payload;
        let head = take(&mut rest, 2).filter(|head| head[0] == VERSION)?;
        let tenant = TenantId::try_new(std::str::from_utf8(take(&mut rest, head[1].into())?).ok()?).ok()?;
        let campaign = Uuid::from_slice(take(&mut rest, 16)?).ok()?;
        let contact = Uuid::from_slice(take(&mut rest, 16)?).ok()?;
        let chunk = u32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
        let index = u16::from_be_bytes(take(&mut rest, 2)?.try_into().ok()?);
        let generation = u32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
        let spot = match take(&mut rest, 1)? {
            [0] if rest.is_empty() => Spot::Pixel,
            [1] => {
                let number = u16::from_be_bytes(take(&mut rest, 2)?.try_into().ok()?);
                let target = std::str::from_utf8(rest).ok().filter(|target| is_target(target))?;
                Spot::Link { number, target: target.to_owned() }
            }
            _ => return None,
        };
        let mail = MailRef { campaign, contact, seat: Some(Seat { chunk, index }), generation };
        Some(Unproven { mail: Self { tenant, mail }, spot, payload: payload.to_vec(), proof })
    }
}

/// A token that was read.
#[derive(Clone, Debug)]
pub struct Unproven {
    mail: TrackedMail,
    spot: Spot,
    payload: Vec<u8>,
    proof: [u8; PROOF],
}

impl Unproven {
    /// Whose key proves it.
    pub fn tenant(&self) -> &TenantId {
        &self.mail.tenant
    }

    /// What it stands for, if the tenant made it.
    pub fn proven(self, key: &TenantKey) -> Option<(TrackedMail, Spot)> {
        let expected = key.seal_of(WHAT, &self.payload);
        bool::from(expected.ct_eq(&self.proof)).then_some((self.mail, self.spot))
    }
}

/// The first bytes of what is left.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

/// Whether a redirect can lead there: http or https with a host, no space, nothing that ends a header.
pub fn is_target(target: &str) -> bool {
    let after = |scheme: &str| {
        let head = target.get(..scheme.len()).filter(|head| head.eq_ignore_ascii_case(scheme));
        head.map(|_| &target[scheme.len()..])
    };
    let rest = after("https://").or_else(|| after("http://"));
    let host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', '\\']));
    host && target.len() <= MAX_TARGET && !target.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// A target as reports show it: scheme, host and path, without what is mostly about one person.
pub fn label(target: &str) -> String {
    let bare = target.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = bare.split_once("://").unwrap_or(("", bare));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let personal = |segment: &&str| segment.contains('@') || segment.to_ascii_lowercase().contains("%40");
    let path = path.split('/').map(|segment| if personal(&segment) { "*" } else { segment });
    let whole = format!("{}://{host}/{}", scheme.to_ascii_lowercase(), path.collect::<Vec<_>>().join("/"));
    whole[..whole.floor_char_boundary(MAX_LABEL)].to_owned()
}

/// Whether a link is the one no person sees.
pub fn is_honeypot(number: u16) -> bool {
    number == HONEYPOT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> TrackedMail {
        let (campaign, contact) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mail = MailRef { campaign, contact, seat: Some(Seat { chunk: 70_000, index: 499 }), generation: 1 };
        TrackedMail { tenant: TenantId::try_new("acme").unwrap(), mail }
    }

    const TARGETS: [&str; 5] = [
        "https://garden.example/a?b=1&c=2#d",
        "HTTP://garden.example",
        "https://garden.example/%C3%A4%2F?q=%26amp;&x=&amp;",
        "https://gärten.example/ä?ö#ü",
        "https://garden.example/?next=https%3A%2F%2Fother.example%2F%3Fa%3Db",
    ];

    #[test]
    fn check_48_a_target_comes_back_byte_for_byte() {
        let key = TenantKey::fixed([1; 32]);
        for target in TARGETS {
            let token = mail().link(&key, 7, target).unwrap();
            assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            let proven = TrackedMail::read(&token).unwrap().proven(&key).unwrap();
            assert_eq!(proven, (mail(), Spot::Link { number: 7, target: target.into() }));
        }
        let longest = format!("https://x.example/{}", "a".repeat(MAX_TARGET - 18));
        let token = mail().link(&key, 7, &longest).unwrap();
        assert!(TrackedMail::read(&token).is_some() && mail().link(&key, 7, &(longest + "a")).is_none());
        let pixel = TrackedMail::read(&mail().pixel(&key)).unwrap().proven(&key);
        assert_eq!(pixel, Some((mail(), Spot::Pixel)));
    }

    #[test]
    fn check_49_nothing_unsigned_is_redirected_to() {
        let (key, other) = (TenantKey::fixed([1; 32]), TenantKey::fixed([2; 32]));
        let token = mail().link(&key, 7, TARGETS[0]).unwrap();
        assert!(TrackedMail::read(&token).unwrap().proven(&other).is_none());
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            let read = TrackedMail::read(&URL_SAFE_NO_PAD.encode(&forged));
            assert!(read.and_then(|read| read.proven(&key)).is_none(), "byte {at}");
            let cut = TrackedMail::read(&URL_SAFE_NO_PAD.encode(&bytes[..at]));
            assert!(cut.and_then(|cut| cut.proven(&key)).is_none(), "cut at {at}");
        }
        for bad in [
            "",
            "javascript:alert(1)",
            "//x.example",
            "https://",
            "https:///x",
            "https:\\\\x",
            "https://x.example/a b",
            "https://x.example/\r\nSet-Cookie: a",
            "mailto:a@x.example",
            "ftp://x.example/",
        ] {
            assert!(mail().link(&key, 0, bad).is_none(), "{bad:?}");
        }
        assert!(TrackedMail::read(&"A".repeat(MAX_TOKEN + 1)).is_none());
    }

    #[test]
    fn a_label_says_nothing_of_a_person() {
        for (target, shown) in [
            (TARGETS[0], "https://garden.example/a"),
            ("HTTPS://u:p@Garden.example/x/ada@x.example/y?z", "https://garden.example/x/*/y"),
            ("https://garden.example?ada%40x.example", "https://garden.example/"),
            ("https://garden.example/ada%40x.example", "https://garden.example/*"),
        ] {
            assert_eq!(label(target), shown);
        }
        assert!(label(&format!("https://x.example/{}", "ä".repeat(900))).len() <= MAX_LABEL);
    }
}
