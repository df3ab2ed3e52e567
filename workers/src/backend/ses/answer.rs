//! What an answer of SES, or none, says about how far a request came.
//!
//! | what happened                                                     | stage     | known not accepted |
//! |-------------------------------------------------------------------|-----------|--------------------|
//! | the request could not be made                                     | message   | yes                |
//! | no connection: address, connect, TLS                              | connect, tls | yes             |
//! | 401, 403, or a signature, key or token that is wrong              | auth      | yes                |
//! | any other 4xx                                                     | request   | yes                |
//! | 5xx, an answer that is none, a reset, no answer in time           | request   | no                 |

use crate::smtp::{Failure, Kind, NOT_VERIFIED, Reply, Stage};
use aws_sdk_sesv2::{
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    operation::get_account::GetAccountOutput,
};
use hyper_util::client::legacy;
use std::{error::Error, io};
use tokio::time::error::Elapsed;
use tokio_rustls::rustls;

/// Of words that are not ours.
const MAX_WORDS: usize = 300;
/// Of the name of a refusal.
const MAX_NAME: usize = 60;
/// Refusals of whoever asks, whatever their status.
const LOCKED_OUT: [&str; 8] = [
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Why a mail was not sent, as far as anybody can tell.
pub(crate) fn failure<E>(error: &SdkError<E>) -> Failure
where
    E: Error + ProvideErrorMetadata + 'static,
{
    if let Some(status) = status(error) {
        if status < 400 {
            return Failure::new(
                Stage::Request,
                Kind::Malformed,
                format!("the provider answered {status} and no more"),
            );
        }
        let name = name(error);
        let locked_out = matches!(status, 401 | 403) || LOCKED_OUT.contains(&name.as_str());
        let stage = if locked_out && status < 500 { Stage::Auth } else { Stage::Request };
        // Its words often repeat the address.
        let reply = Reply { code: status, text: name.clone() };
        return Failure::refused_as(stage, reply, name);
    }
    match error {
        SdkError::ConstructionFailure(_) => {
            Failure::new(Stage::Message, Kind::NotOffered, "the request for it cannot be made")
        }
        SdkError::DispatchFailure(dispatch) => {
            let late = if dispatch.is_timeout() { Kind::TimedOut } else { Kind::Lost };
            match dispatch.as_connector_error() {
                Some(error) if is_connect(error) && is_tls(error) => {
                    Failure::new(Stage::Tls, Kind::Unverified, words(error))
                }
                Some(error) if is_connect(error) => Failure::new(Stage::Connect, late, words(error)),
                Some(error) => Failure::new(Stage::Request, late, words(error)),
                None => Failure::new(Stage::Request, late, "the request was cut off"),
            }
        }
        SdkError::TimeoutError(_) => Failure::new(Stage::Request, Kind::TimedOut, "no answer came in time"),
        _ => Failure::new(Stage::Request, Kind::Malformed, "the answer cannot be understood"),
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// What SES calls it. An identity that nobody verified is refused under the name of a message that nobody wants.
fn name<E: ProvideErrorMetadata>(error: &E) -> String {
    let name = error.code().unwrap_or_default();
    if name == "MessageRejected" && error.message().is_some_and(|words| words.contains("not verified")) {
        return NOT_VERIFIED.to_owned();
    }
    let plain: String = name.chars().filter(|c| c.is_ascii_alphanumeric()).take(MAX_NAME).collect();
    if plain.is_empty() { "unnamed".to_owned() } else { plain }
}

/// Not a byte of the request was written: hyper says so of every failure of its connector, which does TLS too.
fn is_connect(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect))
}

fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let within = |error| std::iter::successors(Some(error), inside).any(|error| error.is::<rustls::Error>());
    chain(error).any(within)
}

/// An error of input and output names what is in it otherwise than as its source.
fn inside<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let inner = (*error).downcast_ref::<io::Error>()?.get_ref()?;
    Some(inner)
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

fn words(error: &(dyn Error + 'static)) -> String {
    let last = chain(error).last().map(ToString::to_string).unwrap_or_default();
    last.chars().take(MAX_WORDS).collect()
}

/// What an account may.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Nobody paused it.
    pub sends: bool,
    /// Outside the sandbox, in which only verified addresses get mail.
    pub production: bool,
    /// Mails a second, if SES says so.
    pub per_second: Option<f64>,
}

impl Account {
    pub(crate) fn of(output: &GetAccountOutput) -> Self {
        let suspended = output.enforcement_status().is_some_and(|status| status.eq_ignore_ascii_case("SHUTDOWN"));
        Self {
            sends: output.sending_enabled() && !suspended,
            production: output.production_access_enabled(),
            per_second: output.send_quota().map(|quota| quota.max_send_rate()).filter(|rate| *rate > 0.0),
        }
    }
}

/// Why nothing is known of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountFault {
    /// SES says no, or does not know who asks; in its words.
    Refused(String),
    /// It cannot be asked now, or not by those who may only send.
    Doubt(String),
}

/// What a question about the account came to.
pub(crate) fn of_check<T, E>(asked: Result<Result<T, SdkError<E>>, Elapsed>) -> Result<T, AccountFault>
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let error = match asked {
        Ok(Ok(output)) => return Ok(output),
        Ok(Err(error)) => error,
        Err(_) => return Err(AccountFault::Doubt("it did not answer in time".to_owned())),
    };
    let Some(status) = status(&error) else {
        let why = DisplayErrorContext(&error).to_string();
        return Err(AccountFault::Doubt(why.chars().take(MAX_WORDS).collect()));
    };
    let said: String = error.message().unwrap_or("no words").chars().take(MAX_WORDS).collect();
    let answer = format!("{status} {}: {said}", name(&error));
    let passing = matches!(status, 408 | 429) || name(&error).starts_with("Throttling");
    // Whoever may send may still not ask.
    let not_asked = error.code() == Some("AccessDeniedException");
    match status {
        400..=499 if !passing && !not_asked => Err(AccountFault::Refused(answer)),
        _ => Err(AccountFault::Doubt(answer)),
    }
}
