//! Domain answers to a command that cannot be carried out. They are not faults: the caller can do something about each.

use std::fmt;

/// How a caller should understand a rejection; the API maps it to a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// There is no such thing (404).
    Missing,
    /// The command's content is wrong (422).
    Invalid,
    /// The thing is in a state that does not allow it (409).
    State,
    /// The caller is not who it says, or is shut out for now (401).
    Denied,
}

/// One aggregate's rejections, as the `rejections!` macro makes them.
pub trait Rejection: fmt::Display + fmt::Debug + PartialEq + Send + 'static {
    /// Stable and documented: `email_taken`.
    fn code(&self) -> &'static str;
    fn class(&self) -> Class;
    /// The JSON pointer of the field at fault, empty for none.
    fn pointer(&self) -> String;
}

/// One rejection as the reference lists it: what callers may meet, without the values of one occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectionSpec {
    pub code: &'static str,
    /// The message with the names of its values: `at most {max} characters`.
    pub message: &'static str,
    pub class: Class,
}

/// Any aggregate's rejection, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub code: &'static str,
    pub class: Class,
    pub message: String,
    pub pointer: String,
}

impl<R: Rejection> From<R> for Rejected {
    fn from(rejection: R) -> Self {
        Self {
            code: rejection.code(),
            class: rejection.class(),
            message: rejection.to_string(),
            pointer: rejection.pointer(),
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// Rejections of an aggregate: variant, class, code, the pointer of the field at fault, and the message.
///
/// ```text
/// rejections! {
///     pub enum ContactRejection {
///         EmailTaken: State, "email_taken", "/email", "another contact has this e-mail address";
///         TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} characters";
///     }
/// }
/// ```
#[macro_export]
macro_rules! rejections {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $( $variant:ident $( { $($field:ident : $type:ty),+ $(,)? } )? :
               $class:ident, $code:literal, $pointer:literal, $message:literal ; )+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name { $( $variant $( { $($field: $type),+ } )? ),+ }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self { $( #[allow(unused_variables)] Self::$variant $( { $($field),+ } )? => write!(f, $message) ),+ }
            }
        }

        impl $name {
            /// Every rejection of this kind; `rejection_catalog.rs` lists them.
            pub const SPECS: &'static [$crate::rejection::RejectionSpec] = &[ $(
                $crate::rejection::RejectionSpec { code: $code, message: $message, class: $crate::Class::$class }
            ),+ ];
        }

        impl $crate::Rejection for $name {
            fn code(&self) -> &'static str {
                match self { $( Self::$variant $( { $($field: _),+ } )? => $code ),+ }
            }
            fn class(&self) -> $crate::Class {
                match self { $( Self::$variant $( { $($field: _),+ } )? => $crate::Class::$class ),+ }
            }
            fn pointer(&self) -> String {
                match self { $( #[allow(unused_variables)] Self::$variant $( { $($field),+ } )? => format!($pointer) ),+ }
            }
        }
    };
}
