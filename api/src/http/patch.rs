//! JSON Merge Patch (RFC 7396) for one field: absent leaves it, null clears it, a value sets it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::__dev::ComposeSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A field of a patch. Declare it with `#[serde(default, skip_serializing_if = "Patch::is_absent")]`:
/// without `default` an absent field would be refused as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// Not mentioned: stays as it is.
    #[default]
    Absent,
    /// `null`: is cleared.
    Null,
    /// Gets this value.
    Set(T),
}

impl<T> Patch<T> {
    pub fn is_absent(&self) -> bool {
        matches!(self, Patch::Absent)
    }

    /// `None` when nothing changes, `Some(None)` to clear, `Some(Some(v))` to set: the form commands take.
    pub fn into_change(self) -> Option<Option<T>> {
        match self {
            Patch::Absent => None,
            Patch::Null => Some(None),
            Patch::Set(value) => Some(Some(value)),
        }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Patch::Absent => Patch::Absent,
            Patch::Null => Patch::Null,
            Patch::Set(value) => Patch::Set(change(value)),
        }
    }

    /// Applies the patch to a field.
    pub fn apply(self, target: &mut Option<T>) {
        if let Some(change) = self.into_change() {
            *target = change;
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::<T>::deserialize(deserializer)? {
            Some(value) => Patch::Set(value),
            None => Patch::Null,
        })
    }
}

impl<T: Serialize> Serialize for Patch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Patch::Absent | Patch::Null => serializer.serialize_none(),
            Patch::Set(value) => value.serialize(serializer),
        }
    }
}

/// The trait through which the derive macros of utoipa build the schema of a generic type; it is hidden from the
/// documentation there, but there is no other way in for a wrapper that behaves like `Option`.
impl<T: ComposeSchema> ComposeSchema for Patch<T> {
    /// The schema of `T`, or null.
    fn compose(schemas: Vec<RefOr<Schema>>) -> RefOr<Schema> {
        let inner = schemas.first().cloned().unwrap_or_else(|| T::compose(schemas));
        OneOfBuilder::new().item(ObjectBuilder::new().schema_type(Type::Null)).item(inner).into()
    }
}

impl<T: ToSchema> ToSchema for Patch<T>
where
    Patch<T>: PartialSchema,
{
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Deserialize, Serialize, ToSchema)]
    struct City {
        name: String,
    }

    #[derive(Debug, Deserialize, Serialize, ToSchema)]
    struct ContactPatch {
        #[serde(default, skip_serializing_if = "Patch::is_absent")]
        phone: Patch<String>,
        #[serde(default, skip_serializing_if = "Patch::is_absent")]
        city: Patch<City>,
    }

    #[test]
    fn the_three_cases_are_told_apart_and_written_back() {
        for (text, change) in [("{}", None), (r#"{"phone":null}"#, Some(None)), (r#"{"phone":"1"}"#, Some(Some("1")))] {
            let patch: ContactPatch = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&patch).unwrap(), text);
            assert_eq!(patch.phone.clone().into_change(), change.map(|c| c.map(str::to_owned)));
            let mut field = Some("old".to_owned());
            patch.phone.apply(&mut field);
            assert_eq!(field.as_deref(), change.unwrap_or(Some("old")));
        }
        assert!(serde_json::from_str::<ContactPatch>(r#"{"phone":5}"#).is_err());
        assert_eq!(Patch::Set(2).map(|n| n * 2), Patch::Set(4));
    }

    #[test]
    fn the_schema_is_nullable_and_not_required() {
        let schema = serde_json::to_value(ContactPatch::schema()).unwrap();
        assert!(schema.get("required").is_none(), "{schema}");
        let mut schemas = Vec::new();
        ContactPatch::schemas(&mut schemas);
        let text = serde_json::to_value(&schemas).unwrap();
        assert_eq!(schema["properties"]["phone"]["$ref"], "#/components/schemas/Patch_String");
        assert_eq!(text[0], json!(["Patch_String", {"oneOf": [{"type": "null"}, {"type": "string"}]}]));
        assert_eq!(text[1][1]["oneOf"][1]["properties"]["name"]["type"], "string");
    }
}
