//! The one registry of problem codes. A client switches on these strings, so a code never changes its meaning and is
//! never reused; `/docs/problems` is rendered from this table.

use axum::http::StatusCode;

macro_rules! problem_codes {
    ($($name:ident = $code:literal, $status:literal, $title:literal, $explanation:literal;)+) => {
        /// What went wrong with a request, as a whole.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemCode { $($name,)+ }

        impl ProblemCode {
            /// All codes, in the order of the documentation page.
            pub const ALL: &'static [ProblemCode] = &[$(ProblemCode::$name,)+];

            /// The stable string a client switches on.
            pub const fn code(self) -> &'static str { match self { $(Self::$name => $code,)+ } }

            /// The HTTP status the code is sent with.
            pub const fn status_number(self) -> u16 { match self { $(Self::$name => $status,)+ } }

            /// One short sentence, the same for every occurrence (RFC 9457 `title`).
            pub const fn title(self) -> &'static str { match self { $(Self::$name => $title,)+ } }

            /// What the caller can do about it.
            pub const fn explanation(self) -> &'static str { match self { $(Self::$name => $explanation,)+ } }

            /// The RFC 9457 `type`: a relative address of the paragraph that explains the code.
            pub const fn type_uri(self) -> &'static str { match self { $(Self::$name => concat!("/docs/problems#", $code),)+ } }
        }
    };
}

problem_codes! {
    MalformedJson = "malformed_json", 400, "The body is not valid JSON",
        "The body is empty, cut short, not UTF-8, nested too deeply or not JSON. The detail names line and column.";
    InvalidParameter = "invalid_parameter", 400, "A query parameter is not acceptable",
        "A parameter is unknown, given twice, or its value is not allowed there. Each entry of `errors` names one parameter and lists what is allowed.";
    InvalidHeader = "invalid_header", 400, "A header is not acceptable",
        "A header that this endpoint reads has a value it cannot understand. The detail names the header and its expected form.";
    Unauthenticated = "unauthenticated", 401, "Authentication is needed",
        "Send a valid API key or access token in the Authorization header. Keys and tokens expire and can be revoked.";
    Forbidden = "forbidden", 403, "The caller may not do this",
        "The credentials are valid but lack a scope or a right. The detail names what is missing.";
    NotFound = "not_found", 404, "There is no such resource",
        "The address or the id is wrong, the resource was deleted, or the caller may not see it. A resource created a moment ago is visible when the read carries its Consistency-Token.";
    MethodNotAllowed = "method_not_allowed", 405, "The resource has no such method",
        "The Allow header lists the methods this address answers.";
    RequestTimeout = "request_timeout", 408, "The body arrived too slowly",
        "The server stopped waiting for the rest of the body. Send it again over a better connection or in smaller pieces.";
    Conflict = "conflict", 409, "Others changed the resource at the same moment",
        "The command was tried several times and lost each time. Nothing was stored. Wait for Retry-After seconds and send it again.";
    RequestInProgress = "request_in_progress", 409, "The same request is still running",
        "A request with this Idempotency-Key has not finished. Wait for Retry-After seconds, send it again and receive its answer.";
    AlreadyExists = "already_exists", 409, "The resource exists already",
        "A value that must be unique is taken. The entries of `errors` name it.";
    Gone = "gone", 410, "The resource is gone for good",
        "The resource was erased or its retention ended. It will not come back under this address.";
    PreconditionFailed = "precondition_failed", 412, "The resource has changed since it was read",
        "The revision in If-Match is not the current one. Read the resource again, merge, and send the new ETag.";
    PayloadTooLarge = "payload_too_large", 413, "The body is too large",
        "The detail states the limit of this endpoint in bytes.";
    UnsupportedMediaType = "unsupported_media_type", 415, "The Content-Type is not supported",
        "Send JSON as application/json in UTF-8; a PATCH may use application/merge-patch+json.";
    ValidationFailed = "validation_failed", 422, "The body has fields that are not acceptable",
        "Each entry of `errors` points to one field by JSON Pointer (RFC 6901) and says what is wrong with it.";
    Rejected = "rejected", 409, "The current state does not allow this",
        "A business rule refused the command; nothing was stored. `errors[0].code` names the rule.";
    IdempotencyKeyReused = "idempotency_key_reused", 422, "The Idempotency-Key belongs to another request",
        "The key was used before with a different body. Make a new key for a new request.";
    PreconditionRequired = "precondition_required", 428, "The request must name the revision it changes",
        "Send If-Match with the ETag of the resource, so that nobody's change is lost.";
    TooManyRequests = "too_many_requests", 429, "Too many requests",
        "The caller used up its quota. The RateLimit headers state it; wait for Retry-After seconds.";
    InternalError = "internal_error", 500, "The server failed",
        "The failure is recorded under the incident id in `instance`. A request with an Idempotency-Key can safely be sent again.";
    NotImplemented = "not_implemented", 501, "This installation does not offer the function",
        "The function needs a part that is switched off here.";
    Unavailable = "unavailable", 503, "The server cannot answer at the moment",
        "A part the request needs is down, starting or overloaded. Wait for Retry-After seconds and send it again; with an Idempotency-Key that is safe.";
    ViewBehind = "view_behind", 503, "The read model has not caught up yet",
        "The read waited for the position in Consistency-Token and it did not come in time. Send the read again, or without the token to accept older data.";
}

impl ProblemCode {
    /// The HTTP status as axum wants it.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.status_number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// A code that stands in `errors[].code`, with its explanation for the documentation page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct FieldCode {
    pub code: &'static str,
    pub explanation: &'static str,
}

macro_rules! field_codes {
    ($($name:ident = $code:literal, $explanation:literal;)+) => {
        $(#[doc = $explanation] pub const $name: &str = $code;)+
        /// Codes of single fields and parameters that the HTTP layer itself finds.
        pub const ALL: &[super::FieldCode] = &[$(super::FieldCode { code: $code, explanation: $explanation },)+];
    };
}

/// Codes of single fields. Business rules add their own; see [`crate::docs::ProblemCatalog`].
pub mod field {
    field_codes! {
        REQUIRED = "required", "The field must be present.";
        UNKNOWN_FIELD = "unknown_field", "The field does not exist here; check its spelling.";
        DUPLICATE_FIELD = "duplicate_field", "The field stands twice in the same object.";
        WRONG_TYPE = "wrong_type", "The value has another JSON type than the field.";
        TEMPLATE_SYNTAX = "template_syntax", "The template is not understood; the message names line and column.";
        UNKNOWN_MERGE_FIELD = "unknown_merge_field", "The template asks for a field that does not exist.";
        MISSING_FALLBACK = "missing_fallback", "Not every receiver has this field; say what stands there then.";
        MISSING_FIELD = "missing_field", "This receiver lacks a field that is used without a fallback.";
        TEMPLATE_FAULT = "template_fault", "The template cannot be carried out: an unknown filter, or it does not end.";
        INVALID_VALUE = "invalid_value", "The type is right but the value is not acceptable.";
        UNKNOWN_VARIANT = "unknown_variant", "The value is not one of the listed words.";
        TOO_DEEP = "too_deep", "The value is nested more deeply than allowed.";
        TOO_LONG = "too_long", "The value is longer than allowed.";
        TOO_MANY = "too_many", "There are more items than allowed.";
        UNKNOWN_PARAMETER = "unknown_parameter", "The query parameter does not exist here.";
        DUPLICATE_PARAMETER = "duplicate_parameter", "The query parameter stands twice.";
        UNKNOWN_OPERATOR = "unknown_operator", "The filter operator does not exist.";
        OPERATOR_NOT_ALLOWED = "operator_not_allowed", "The filter operator exists, but not for this field.";
        OUT_OF_RANGE = "out_of_range", "The number or time is outside the allowed range.";
        MALFORMED = "malformed", "The value does not have the expected form.";
        INVALID_PARAMETER = "invalid_parameter", "The query parameter has a value it cannot have.";
        INVALID_TIME = "invalid_time", "A time such as 2026-01-31T12:00:00Z is expected.";
        INVALID_AS_OF = "invalid_as_of", "A position such as eu1:48213 or a time such as 2026-01-31T12:00:00Z is expected.";
        UNKNOWN_CURSOR = "unknown_cursor", "The cursor does not belong to this list; start again without it.";
        TOO_MANY_CLAUSES = "too_many_clauses", "The filter has more conditions than a search may have.";
        FILTER_TOO_DEEP = "filter_too_deep", "The filter is nested more deeply than a search may be.";
        BAD_CONDITION = "bad_condition", "The operator does not go with this value.";
        BAD_NAME = "bad_name", "The field's name is not one a record can have.";
        TEXT_TOO_LONG = "text_too_long", "The words to search for are longer than allowed.";
        PAGE_TOO_LARGE = "page_too_large", "The page is larger than a search gives.";
        INVALID_TENANT = "invalid_tenant", "A tenant's name has 1 to 40 of a-z, 0-9 and '-' and starts with a letter.";
        NO_SESSION = "no_session", "The caller is a program's key, which has no session.";
        INVALID_TEMPLATE = "invalid_template", "The template is not understood, or names a field that is not there. The message says in which line.";
        UNKNOWN_TEMPLATE = "unknown_template", "The tenant has no template of this name.";
        SENDER_DOMAIN = "sender_domain", "This platform does not send for the domain of the address.";
        TAG_NOT_OFFERED = "tag_not_offered", "The tenant's form does not offer this tag; `allowed` lists those it does.";
        OWN_ACCOUNT = "own_account", "Nobody does this to their own account; somebody else has to.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_snake_case_and_documented() {
        let mut seen = BTreeSet::new();
        for code in ProblemCode::ALL {
            assert!(seen.insert(code.code()), "{} stands twice", code.code());
            assert!(code.code().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(!code.title().is_empty() && code.explanation().len() > 20);
            assert_eq!(code.status().as_u16(), code.status_number());
            assert!(code.type_uri().ends_with(code.code()));
        }
        let mut seen = BTreeSet::new();
        assert!(field::ALL.iter().all(|entry| seen.insert(entry.code)));
    }
}
