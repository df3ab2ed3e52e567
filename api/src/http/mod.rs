//! The part of the HTTP API that knows no aggregate: errors, bodies, lists, preconditions, limits, the serve loop.
//!
//! An endpoint takes its input through the extractors here ([`body::JsonBody`], [`list::ListQuery`],
//! [`etag::IfMatch`], [`idempotency::IdempotencyKey`], [`token::Consistency`]) and answers refusals with
//! [`problem::Problem`], so that every endpoint behaves alike and a client learns the rules once.

pub mod body;
pub mod bracket;
pub mod codes;
pub mod correlation;
pub mod etag;
pub mod extract;
pub mod filter;
pub mod form;
pub mod idempotency;
pub mod limits;
pub mod lingering;
pub mod list;
pub mod metrics;
pub mod network;
pub mod patch;
pub mod problem;
pub mod projection;
pub mod ratelimit;
pub mod record;
pub mod security_headers;
pub mod server;
pub mod stack;
pub mod stall;
pub mod strict_json;
pub mod timed_body;
pub mod token;
