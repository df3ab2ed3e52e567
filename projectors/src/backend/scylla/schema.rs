//! Names and CQL of the tables.
//!
//! | table                            | holds                                                                         |
//! |----------------------------------|-------------------------------------------------------------------------------|
//! | `read_store`                     | by prefix: the format, whose log it is, and each table's name with its CQL name |
//! | `<generation>__marks`            | checkpoints of the generation by cell, and [`notes`](super::notes)            |
//! | `<generation>__<table>`          | rows: `PRIMARY KEY ((tenant, partition), sort)`                               |
//!
//! A name that is longer than servers take ends in a part of its hash. Settings, by how a table is used:
//!
//! - **Records** (one row a partition, overwritten again and again, read one by one): leveled compaction, so that a read meets one
//!   or two files; 4 KiB chunks, since a read wants one row. **Marks**, which are few and overwritten, too.
//! - **Lists** (many rows a partition, written once, read in order): size-tiered compaction, which rewrites least; 16 KiB chunks,
//!   since a read wants neighbours.
//! - **gc_grace** is ten days (of notes an hour): a tombstone keeps older writes out for as long as a node may have been away
//!   before it is repaired. Late repetitions of a lane come within seconds.
//! - LZ4, the default, everywhere. No time-to-live, no counters, no lightweight transactions, no secondary indexes.

use super::options::{MAX_CQL_NAME, Options};
use crate::read_store::{TableId, types::generation_of};
use sha2::{Digest, Sha256};

/// Format of what this backend writes. Raise it when older programs must not touch the data any more.
pub(super) const FORMAT: &str = "1";
/// The name under which the format stands in the registry; no table can have it.
pub(super) const FORMAT_ROW: &str = "#format";
/// Before a generation: its table of checkpoints in the registry.
pub(super) const MARKS_ROW: &str = "#marks.";
/// Digits of a hash that end a shortened name.
const HASH_DIGITS: usize = 12;
/// Ten days, in seconds.
const GC_GRACE: u32 = 864_000;
/// Notes that come back do no harm, and as many are removed as are written: an hour, in seconds.
const MARKS_GRACE: u32 = 3_600;

/// Makes the names of one store.
#[derive(Clone, Debug)]
pub(super) struct Names {
    keyspace: String,
    prefix: String,
}

impl Names {
    pub(super) fn of(options: &Options) -> Self {
        Self { keyspace: options.keyspace.clone(), prefix: options.prefix.clone() }
    }

    /// One for all installations of a keyspace.
    pub(super) fn registry(&self) -> String {
        format!("{}.read_store", self.keyspace)
    }

    /// The condition on its rows.
    pub(super) fn registered(&self) -> String {
        format!("owner = '{}'", self.owner())
    }

    /// Who has its rows; a key may not be empty.
    pub(super) fn owner(&self) -> &str {
        if self.prefix.is_empty() { "-" } else { &self.prefix }
    }

    /// The CQL name of a table of rows.
    pub(super) fn rows(&self, table: &TableId) -> String {
        self.full(&table.as_str().replace('.', "__"))
    }

    /// The CQL name of a generation's checkpoints.
    pub(super) fn marks(&self, generation: &str) -> String {
        self.full(&format!("{generation}__marks"))
    }

    fn full(&self, name: &str) -> String {
        let name = format!("{}{name}", self.prefix);
        // A name has to begin with a letter, and one table's shortened name must not be another one's.
        let plain = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if plain && name.len() <= MAX_CQL_NAME {
            return format!("{}.{name}", self.keyspace);
        }
        let hash = Sha256::digest(name.as_bytes());
        let digits: String = hash.iter().take(HASH_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect();
        let kept: String = name.chars().take(MAX_CQL_NAME - HASH_DIGITS - 3).collect();
        format!("{}.t_{kept}_{digits}", self.keyspace)
    }
}

pub(super) fn create_registry(name: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (owner text, name text, value text, PRIMARY KEY ((owner), name)) \
         WITH comment = 'Millrace: the tables of a read store' AND gc_grace_seconds = {GC_GRACE}"
    )
}

pub(super) fn create_marks(name: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (cell text, until bigint, since bigint, part int, body blob, seq bigint static, \
         safe bigint static, PRIMARY KEY ((cell), until, since, part)) \
         WITH comment = 'Millrace: checkpoints, and what the batches behind them looked at' \
         AND gc_grace_seconds = {MARKS_GRACE} AND compaction = {{'class': 'LeveledCompactionStrategy'}}"
    )
}

pub(super) fn create_rows(name: &str, table: &TableId) -> String {
    // A record is alone in its partition; every other table is a list.
    let records = table.as_str().ends_with(".records");
    let (compaction, chunk) =
        if records { ("LeveledCompactionStrategy", 4) } else { ("SizeTieredCompactionStrategy", 16) };
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (tenant text, partition text, sort blob, body blob, \
         PRIMARY KEY ((tenant, partition), sort)) WITH comment = 'Millrace: {table}' \
         AND gc_grace_seconds = {GC_GRACE} AND compaction = {{'class': '{compaction}'}} \
         AND compression = {{'class': 'LZ4Compressor', 'chunk_length_in_kb': {chunk}}}"
    )
}

/// Whether a row of the registry belongs to a generation.
pub(super) fn belongs(row: &str, generation: &str) -> bool {
    match row.strip_prefix(MARKS_ROW) {
        Some(of) => of == generation,
        None => !row.starts_with('#') && generation_of(row) == generation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableId {
        TableId::try_new(name).unwrap()
    }

    #[test]
    fn names_are_readable_short_and_apart() {
        let names = Names::of(&Options::new(vec!["a".into()], "millrace", 3));
        assert_eq!(names.rows(&table("contacts_v1_g0.by_name")), "millrace.contacts_v1_g0__by_name");
        assert_eq!(names.marks("contacts_v1_g0"), "millrace.contacts_v1_g0__marks");
        let long = format!("contacts_v1_g0.{}", "x".repeat(60));
        let (one, other) = (names.rows(&table(&long)), names.rows(&table(&format!("{long}y"))));
        assert!(one != other && one.len() <= "millrace.".len() + MAX_CQL_NAME, "{one} {other}");
        assert!(names.rows(&table("1a.b")).starts_with("millrace.t_"));
    }

    #[test]
    fn a_generation_owns_its_tables_and_marks_only() {
        for (row, expected) in [
            ("contacts_v1_g0.by_name", true),
            ("contacts_v1_g0", true),
            ("#marks.contacts_v1_g0", true),
            ("contacts_v1_g01.by_name", false),
            ("#marks.contacts_v1_g01", false),
            ("#format", false),
        ] {
            assert_eq!(belongs(row, "contacts_v1_g0"), expected, "{row}");
        }
        assert!(create_rows("k.t", &table("a_v1_g0.records")).contains("Leveled"));
        assert!(create_rows("k.t", &table("a_v1_g0.newest")).contains("SizeTiered"));
    }
}
