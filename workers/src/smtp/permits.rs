//! What a failure permits: the table of spec/EMAIL.md 5.2, once.
//!
//! The rule behind it: a mail may be sent again only when it is known that nobody took it. That is known until the final
//! dot is written, and after it only from a reply that says no.

use super::{Failure, Kind, Reply, Stage};
use crate::mail::Class;

/// What may be done with a mail after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permits {
    /// Nobody can tell whether the provider took it.
    pub unknown: bool,
    /// It will be refused again as it is: not a matter of time.
    pub permanent: bool,
    /// By the same provider.
    pub retry_same: Retry,
    /// To another provider.
    pub fail_over: FailOver,
    /// Whose fault it is.
    pub fault: Fault,
    /// It counts against this provider: enough of them, and nothing is sent there for a while.
    pub breaker: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Over a new connection.
    Yes,
    /// After some time.
    Backoff,
    Never,
    /// The class of the mail decides ([`Retry::under`]).
    ByClass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailOver {
    Yes,
    Never,
    /// The class of the mail decides ([`FailOver::under`]).
    ByClass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The provider cannot be reached, or takes nothing from this sender.
    Provider,
    /// This address gets no mail.
    Recipient,
    /// This message is taken by nobody, or not by this provider.
    Message,
    /// Nobody's: the same mail may pass later.
    Passing,
}

impl Retry {
    /// With the class's rule for unknown mails: marketing is never sent twice, transactional is sent again later.
    pub fn under(self, class: Class) -> Self {
        match (self, class) {
            (Self::ByClass, Class::Marketing) => Self::Never,
            (Self::ByClass, Class::Transactional) => Self::Backoff,
            (other, _) => other,
        }
    }
}

impl FailOver {
    /// With the class's rule for unknown mails: only transactional ones may go to another provider.
    pub fn under(self, class: Class) -> bool {
        match self {
            Self::Yes => true,
            Self::Never => false,
            Self::ByClass => class == Class::Transactional,
        }
    }
}

/// The table. A reply counts only where it answers the stage it is in.
pub fn permits(failure: &Failure) -> Permits {
    let reply = failure.reply.as_ref().filter(|_| failure.kind == Kind::Refused);
    match (failure.stage, failure.kind, reply) {
        // Taken, and the record is missing: another provider would send it a second time for certain.
        (Stage::Accepted, ..) => Permits { fail_over: FailOver::Never, breaker: false, ..UNKNOWN },
        (Stage::Dot, _, Some(reply)) => after_dot(reply),
        (Stage::Request, _, Some(reply)) => after_request(reply, failure.name.as_deref().unwrap_or_default()),
        (Stage::Dot | Stage::Request, ..) => UNKNOWN,
        (_, Kind::Unfit, _) => Permits { fail_over: FailOver::Never, ..message_fault() },
        (Stage::Message, ..) => message_fault(),
        (Stage::Mail | Stage::Rcpt | Stage::Data | Stage::Body, _, Some(reply)) => before_dot(failure.stage, reply),
        // Nothing was taken: the connection failed on the way, or the provider lets nobody in.
        _ => KNOWN,
    }
}

const KNOWN: Permits = Permits {
    unknown: false,
    permanent: false,
    retry_same: Retry::Yes,
    fail_over: FailOver::Yes,
    fault: Fault::Provider,
    breaker: true,
};

const UNKNOWN: Permits = Permits {
    unknown: true,
    permanent: false,
    retry_same: Retry::ByClass,
    fail_over: FailOver::ByClass,
    fault: Fault::Provider,
    breaker: true,
};

/// This provider cannot take it; another may offer what it needs.
fn message_fault() -> Permits {
    Permits { permanent: true, retry_same: Retry::Never, fault: Fault::Message, breaker: false, ..KNOWN }
}

/// MAIL, RCPT, DATA, or the message before its dot, answered with 4xx or 5xx.
fn before_dot(stage: Stage, reply: &Reply) -> Permits {
    if reply.is_transient() {
        let wide = is_provider_wide(reply);
        let fail_over = if wide { FailOver::Yes } else { FailOver::Never };
        let fault = if wide { Fault::Provider } else { Fault::Passing };
        return Permits { retry_same: Retry::Backoff, fail_over, fault, breaker: wide, ..KNOWN };
    }
    let fault = fault_of(stage, reply);
    let policy = fault == Fault::Provider;
    let fail_over = if policy { FailOver::Yes } else { FailOver::Never };
    Permits { permanent: true, retry_same: Retry::Never, fail_over, fault, breaker: policy, ..KNOWN }
}

/// The final dot answered with 4xx or 5xx: it is known that the mail was not taken. SES says 454 here over its rate.
fn after_dot(reply: &Reply) -> Permits {
    let throttled = matches!(reply.code, 421 | 454);
    let fail_over = if throttled { FailOver::Yes } else { FailOver::Never };
    Permits { fail_over, ..before_dot(Stage::Dot, reply) }
}

/// What SES calls a sender or a recipient whose address or domain nobody verified there.
pub(crate) const NOT_VERIFIED: &str = "MessageRejected.NotVerified";

/// A request of a provider without SMTP (SES): 4xx is a clear no, 5xx says nothing about what was done. Every exception of
/// `SendEmail` has its line; what is not known is taken for passing.
fn after_request(reply: &Reply, name: &str) -> Permits {
    if reply.code >= 500 {
        return UNKNOWN;
    }
    let policy = Permits { permanent: true, retry_same: Retry::Never, ..KNOWN };
    match name {
        // Restricted for good; the domain of the bounce address is not set up; no such configuration set or identity.
        "AccountSuspendedException" | "MailFromDomainNotVerifiedException" | "NotFoundException" => policy,
        NOT_VERIFIED => policy,
        // It was looked at and found to hold something bad (a virus): nobody else is bothered with it, as after a dot.
        "MessageRejected" => Permits { fail_over: FailOver::Never, ..message_fault() },
        // Not taken in this form here: an address or a tag it does not like, too large.
        "BadRequestException" => message_fault(),
        _ if reply.code == 413 => message_fault(),
        // Over the rate or the day's quota (TooManyRequestsException, LimitExceededException, ThrottlingException), paused
        // by somebody who may end it (SendingPausedException), or new.
        _ => Permits { retry_same: Retry::Backoff, ..KNOWN },
    }
}

/// A temporary refusal that every mail would get now: shutting down, throttled, out of quota or space (RFC 3463 3.4, 3.5).
fn is_provider_wide(reply: &Reply) -> bool {
    matches!(reply.code, 421 | 454) || matches!(reply.enhanced(), Some((_, 3, 0..=3 | 5) | (_, 4, 5)))
}

/// Who is at fault for a permanent refusal: by the status code of RFC 3463, else by the reply code and the stage.
fn fault_of(stage: Stage, reply: &Reply) -> Fault {
    match (reply.enhanced(), reply.code) {
        // The sender's own address or domain (1.7, 1.8), the provider's system, network, protocol, or policy.
        (Some((_, 1, 7 | 8)), _) => Fault::Provider,
        (Some((_, 2, 3) | (_, 3, 4) | (_, 6, _)), _) => Fault::Message,
        (Some((_, 1 | 2, _)), _) => Fault::Recipient,
        (Some((_, 3 | 4 | 5 | 7, _)), _) => Fault::Provider,
        // Unknown command, wrong order, no such parameter, takes no mail, authentication.
        (_, 500..=504 | 521 | 523 | 530 | 534 | 535 | 538 | 555) => Fault::Provider,
        _ => match stage {
            Stage::Rcpt => Fault::Recipient,
            Stage::Mail if reply.code != 552 => Fault::Provider,
            _ => Fault::Message,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(stage: Stage, code: u16, text: &str) -> Permits {
        permits(&Failure::refused(stage, Reply { code, text: text.into() }))
    }

    /// `(known not accepted, permanent, retry, fail over, fault, breaker)`.
    type Row = (bool, bool, Retry, FailOver, Fault, bool);

    fn row(permits: Permits) -> Row {
        let Permits { unknown, permanent, retry_same, fail_over, fault, breaker } = permits;
        (!unknown, permanent, retry_same, fail_over, fault, breaker)
    }

    const YES: Row = (true, false, Retry::Yes, FailOver::Yes, Fault::Provider, true);
    const LATER: Row = (true, false, Retry::Backoff, FailOver::Never, Fault::Passing, false);
    const WIDE: Row = (true, false, Retry::Backoff, FailOver::Yes, Fault::Provider, true);
    const RECIPIENT: Row = (true, true, Retry::Never, FailOver::Never, Fault::Recipient, false);
    const POLICY: Row = (true, true, Retry::Never, FailOver::Yes, Fault::Provider, true);
    const MESSAGE: Row = (true, true, Retry::Never, FailOver::Never, Fault::Message, false);
    const NOT_KNOWN: Row = (false, false, Retry::ByClass, FailOver::ByClass, Fault::Provider, true);

    const FAILURES: [Kind; 5] = [Kind::Lost, Kind::TimedOut, Kind::Unverified, Kind::Malformed, Kind::Crashed];

    #[test]
    fn row_1_before_the_mail_everything_may_be_tried_again() {
        for stage in [Stage::Resolve, Stage::Connect, Stage::Tls, Stage::Greeting, Stage::Ehlo, Stage::Auth] {
            for kind in FAILURES.into_iter().chain([Kind::NotOffered]) {
                assert_eq!(row(permits(&Failure::new(stage, kind, ""))), YES, "{stage:?} {kind:?}");
            }
            for code in [421, 454, 535, 554] {
                assert_eq!(row(answered(stage, code, "")), YES, "{stage:?} {code}");
            }
        }
    }

    #[test]
    fn row_2_a_4xx_before_the_message_waits_unless_it_is_meant_for_all() {
        for stage in [Stage::Mail, Stage::Rcpt, Stage::Data] {
            for (code, text) in
                [(450, "4.2.1 try later"), (451, "4.7.1 greylisted"), (452, "4.2.2 mailbox full"), (450, "")]
            {
                assert_eq!(row(answered(stage, code, text)), LATER, "{stage:?} {code}");
            }
            for (code, text) in [
                (421, ""),
                (454, "Throttling failure"),
                (452, "4.3.1 out of space"),
                (451, "4.3.2 not now"),
                (451, "4.4.5 busy"),
            ] {
                assert_eq!(row(answered(stage, code, text)), WIDE, "{stage:?} {code} {text}");
            }
        }
    }

    #[test]
    fn row_3_a_5xx_is_the_recipients_fault_unless_it_is_policy() {
        for (code, text) in
            [(550, ""), (550, "5.1.1 no such user"), (551, ""), (553, "5.1.3 bad"), (552, "5.2.2 full"), (554, "")]
        {
            assert_eq!(row(answered(Stage::Rcpt, code, text)), RECIPIENT, "{code} {text}");
        }
        for stage in [Stage::Mail, Stage::Rcpt, Stage::Data] {
            for (code, text) in [
                (530, ""),
                (535, "5.7.8"),
                (550, "5.7.26 unauthenticated"),
                (550, "5.7.515 no"),
                (521, ""),
                (503, ""),
                (553, "5.1.8 sender"),
            ] {
                assert_eq!(row(answered(stage, code, text)), POLICY, "{stage:?} {code} {text}");
            }
        }
        assert_eq!(row(answered(Stage::Mail, 550, "")), POLICY);
        assert_eq!(row(answered(Stage::Mail, 552, "5.3.4 too big")), MESSAGE);
        assert_eq!(row(answered(Stage::Data, 554, "")), MESSAGE);
    }

    #[test]
    fn row_4_a_connection_lost_before_the_dot_took_nothing() {
        for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Body] {
            for kind in FAILURES {
                assert_eq!(row(permits(&Failure::new(stage, kind, ""))), YES, "{stage:?} {kind:?}");
            }
        }
    }

    #[test]
    fn row_5_a_no_to_the_dot_is_a_no() {
        assert_eq!(row(answered(Stage::Dot, 450, "")), LATER);
        assert_eq!(row(answered(Stage::Dot, 421, "")), WIDE);
        assert_eq!(row(answered(Stage::Dot, 454, "Throttling failure: Maximum sending rate exceeded.")), WIDE);
        assert_eq!(row(answered(Stage::Dot, 554, "5.6.0 content")), MESSAGE);
        // Another provider is not tried with a message this one refused after seeing it.
        assert_eq!(answered(Stage::Dot, 550, "5.7.1 spam").fail_over, FailOver::Never);
        assert_eq!(answered(Stage::Dot, 452, "4.3.1 space").fail_over, FailOver::Never);
    }

    #[test]
    fn row_6_after_the_dot_silence_is_unknown() {
        for kind in FAILURES {
            assert_eq!(row(permits(&Failure::new(Stage::Dot, kind, ""))), NOT_KNOWN, "{kind:?}");
        }
        // An answer out of step is no answer.
        assert_eq!(row(answered(Stage::Dot, 354, "")), NOT_KNOWN);
        let permits = permits(&Failure::crashed(Stage::Dot));
        assert_eq!(permits.retry_same.under(Class::Marketing), Retry::Never);
        assert_eq!(permits.retry_same.under(Class::Transactional), Retry::Backoff);
        assert!(!permits.fail_over.under(Class::Marketing) && permits.fail_over.under(Class::Transactional));
    }

    #[test]
    fn row_7_taken_and_not_recorded_is_unknown_and_never_fails_over() {
        let permits = permits(&Failure::crashed(Stage::Accepted));
        assert_eq!(row(permits), (false, false, Retry::ByClass, FailOver::Never, Fault::Provider, false));
        assert!(!permits.fail_over.under(Class::Transactional));
    }

    #[test]
    fn row_8_a_request_that_is_refused_or_never_left_is_known() {
        assert_eq!(row(permits(&Failure::new(Stage::Connect, Kind::Lost, ""))), YES);
        for code in [400, 429] {
            assert_eq!(row(answered(Stage::Request, code, "")), WIDE, "{code}");
        }
    }

    #[test]
    fn row_8_every_exception_of_ses_means_something() {
        let elsewhere = (true, true, Retry::Never, FailOver::Yes, Fault::Message, false);
        for (code, name, expected) in [
            (429, "TooManyRequestsException", WIDE),
            (400, "ThrottlingException", WIDE),
            (400, "LimitExceededException", WIDE),
            (400, "SendingPausedException", WIDE),
            (400, "AccountSuspendedException", POLICY),
            (400, "MailFromDomainNotVerifiedException", POLICY),
            (404, "NotFoundException", POLICY),
            (400, NOT_VERIFIED, POLICY),
            (400, "MessageRejected", MESSAGE),
            (400, "BadRequestException", elsewhere),
            (413, "", elsewhere),
            (400, "SomethingNewException", WIDE),
            (500, "InternalFailure", NOT_KNOWN),
            // Whatever it is called: nobody knows what a server did that failed.
            (503, "TooManyRequestsException", NOT_KNOWN),
        ] {
            let reply = Reply { code, text: String::new() };
            let failure = Failure::refused_as(Stage::Request, reply, name);
            assert_eq!(row(permits(&failure)), expected, "{code} {name}");
            assert_eq!(failure.code(), format!("request {code} {name}"));
        }
        let locked_out = Failure::refused_as(Stage::Auth, Reply { code: 403, text: String::new() }, "ExpiredToken");
        assert_eq!(row(permits(&locked_out)), YES);
    }

    #[test]
    fn row_9_a_request_without_an_answer_or_with_5xx_is_unknown() {
        for kind in FAILURES {
            assert_eq!(row(permits(&Failure::new(Stage::Request, kind, ""))), NOT_KNOWN, "{kind:?}");
        }
        assert_eq!(row(answered(Stage::Request, 503, "")), NOT_KNOWN);
    }

    #[test]
    fn a_mail_nobody_can_send_is_never_tried_again() {
        for stage in [Stage::Message, Stage::Rcpt] {
            assert_eq!(row(permits(&Failure::new(stage, Kind::Unfit, ""))), MESSAGE);
        }
        let elsewhere = permits(&Failure::new(Stage::Message, Kind::NotOffered, "SMTPUTF8"));
        assert_eq!(row(elsewhere), (true, true, Retry::Never, FailOver::Yes, Fault::Message, false));
    }

    /// Whatever comes: unknown exactly when the dot may be out and nobody said no, and unknown never fails over for marketing.
    #[test]
    fn every_combination_keeps_the_rule() {
        use Stage::*;
        let stages =
            [Resolve, Connect, Tls, Greeting, Ehlo, Auth, Message, Mail, Rcpt, Data, Body, Dot, Request, Accepted];
        let kinds = FAILURES.into_iter().chain([Kind::Refused, Kind::NotOffered, Kind::Unfit]);
        for kind in kinds {
            for stage in stages {
                let permits = permits(&Failure::new(stage, kind, ""));
                assert_eq!(permits.unknown, stage >= Dot, "{stage:?} {kind:?}");
                if permits.unknown {
                    assert_eq!(permits.retry_same, Retry::ByClass);
                    assert!(!permits.fail_over.under(Class::Marketing));
                }
                assert!(!permits.permanent || permits.retry_same == Retry::Never);
            }
        }
    }
}
