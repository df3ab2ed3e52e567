//! The body of an HTML form, for the few pages that people without a login use.

use super::{body, problem::Problem};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;

const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";
/// Fields that are read of a form.
const MOST: usize = 64;

/// Names and values as they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// What is not text stays out.
    pub fn parse(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let decode = |part: &str| {
            let part = part.replace('+', " ");
            percent_decode_str(&part).decode_utf8().map(|text| text.into_owned()).ok()
        };
        let pairs = text.split('&').take(MOST).filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        Self(pairs.filter(|(name, _)| !name.is_empty()).collect())
    }

    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a field.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a request has a form in it.
    pub fn is_in(request: &Request) -> bool {
        let value = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(MEDIA_TYPE))
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !Self::is_in(&request) {
            return Err(Problem::unsupported_media_type(MEDIA_TYPE));
        }
        Ok(Self::parse(&body::read(request).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_bounded() {
        let form = Form::parse(b"a=1+2%26&b=%C3%A4&c&a=3&=x&bad=%ff");
        assert_eq!((form.get("a"), form.get("b"), form.get("c")), (Some("1 2&"), Some("\u{e4}"), Some("")));
        assert_eq!(form.all("a").collect::<Vec<_>>(), ["1 2&", "3"]);
        assert_eq!((form.get("bad"), form.get("d")), (None, None));
        assert_eq!(Form::parse("a=1&".repeat(100).as_bytes()).all("a").count(), MOST);
    }
}
