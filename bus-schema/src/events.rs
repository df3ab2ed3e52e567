//! The `events!` macro: an aggregate's events with their stored names and schema numbers.
//!
//! ```text
//! events! {
//!     /// What can happen to a contact.
//!     pub enum ContactEvent {
//!         Created(ContactCreated) = "contact.created" @ 2 { 1 => ContactCreatedV1 },
//!         Erased(ContactErased) = "contact.erased" @ 1,
//!     }
//! }
//! ```
//!
//! The name and the number are headers of the stored message, so renaming a Rust item never changes stored bytes. An
//! old number keeps its old struct (`Deserialize` only) and a `From` into the present one.

use crate::codec::{DecodeError, EncodeError};
use serde_json::Value;

/// One stored kind: its name, the number written today and the old numbers that can still be read.
#[derive(Debug, Clone, Copy)]
pub struct KindSpec {
    pub kind: &'static str,
    pub schema: u16,
    pub older: &'static [u16],
}

/// The events of one aggregate, as `events!` makes them.
pub trait EventSet: Sized + Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static {
    const KINDS: &'static [KindSpec];

    fn kind(&self) -> &'static str;
    fn schema(&self) -> u16;
    fn encode(&self) -> Result<Vec<u8>, EncodeError>;
    /// `Ok(None)` for a kind or number this build does not know: projectors skip and count it, deciders refuse it.
    fn decode(kind: &str, schema: u16, body: &[u8]) -> Result<Option<Self>, DecodeError>;
    /// The fields by name, sealed values in hexadecimal. What the CLI and the goldens show.
    fn to_json(&self) -> Value;
    /// The reverse of [`EventSet::to_json`], for goldens.
    fn from_json(kind: &str, value: &Value) -> Result<Option<Self>, serde_json::Error>;
}

#[macro_export]
macro_rules! events {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $( $(#[$vdoc:meta])* $variant:ident($body:ty) = $kind:literal @ $schema:literal
               $( { $($old:literal => $old_body:ty),+ $(,)? } )? ),+ $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name { $( $(#[$vdoc])* $variant($body) ),+ }

        $( impl From<$body> for $name { fn from(body: $body) -> Self { Self::$variant(body) } } )+

        impl $crate::events::EventSet for $name {
            const KINDS: &'static [$crate::events::KindSpec] = &[
                $( $crate::events::KindSpec { kind: $kind, schema: $schema, older: &[ $($($old),+)? ] } ),+
            ];

            fn kind(&self) -> &'static str {
                match self { $( Self::$variant(_) => $kind ),+ }
            }

            fn schema(&self) -> u16 {
                match self { $( Self::$variant(_) => $schema ),+ }
            }

            fn encode(&self) -> Result<Vec<u8>, $crate::codec::EncodeError> {
                match self { $( Self::$variant(body) => $crate::codec::encode(body) ),+ }
            }

            fn decode(kind: &str, schema: u16, body: &[u8]) -> Result<Option<Self>, $crate::codec::DecodeError> {
                Ok(Some(match (kind, schema) {
                    $(
                        ($kind, $schema) => Self::$variant($crate::codec::decode::<$body>(body)?),
                        $( $( ($kind, $old) => Self::$variant($crate::codec::decode::<$old_body>(body)?.into()), )+ )?
                    )+
                    _ => return Ok(None),
                }))
            }

            fn to_json(&self) -> serde_json::Value {
                match self { $( Self::$variant(body) => serde_json::to_value(body).unwrap_or_default() ),+ }
            }

            fn from_json(kind: &str, value: &serde_json::Value) -> Result<Option<Self>, serde_json::Error> {
                use serde::Deserialize;
                Ok(Some(match kind {
                    $( $kind => Self::$variant(<$body>::deserialize(value)?), )+
                    _ => return Ok(None),
                }))
            }
        }
    };
}
