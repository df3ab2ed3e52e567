//! Rows that are sums: each knows the position of the last event in it, so an event that is met again changes nothing.

use crate::projection::{ProjectionError, RowName, Rows};
use bus_schema::codec;
use serde::{Serialize, de::DeserializeOwned};

/// A row with the position of the last event in it; a missing row is the default.
pub(crate) trait Positioned: Default + Serialize + DeserializeOwned {
    fn position(&mut self) -> &mut u64;
}

/// For rows whose position is the field `seq`.
macro_rules! positioned {
    ($($row:ty),+ $(,)?) => { $(
        impl $crate::positioned::Positioned for $row {
            fn position(&mut self) -> &mut u64 {
                &mut self.seq
            }
        }
    )+ };
}
pub(crate) use positioned;

/// Changes a row unless it has this event already; gives it as it is then.
pub(crate) fn change<R: Positioned>(
    rows: &mut Rows<'_>,
    name: RowName,
    seq: u64,
    apply: impl FnOnce(&mut R),
) -> Result<R, ProjectionError> {
    let mut row: R = read(rows, &name)?.unwrap_or_default();
    if *row.position() < seq {
        apply(&mut row);
        *row.position() = seq;
        let body = codec::encode(&row).map_err(|error| ProjectionError::Row(error.to_string()))?;
        rows.put(name, body);
    }
    Ok(row)
}

/// A row as it is now.
pub(crate) fn read<R: DeserializeOwned>(rows: &Rows<'_>, name: &RowName) -> Result<Option<R>, ProjectionError> {
    let decode = |body: bytes::Bytes| codec::decode(&body).map_err(|error| ProjectionError::Row(error.to_string()));
    rows.get(name).map(decode).transpose()
}
