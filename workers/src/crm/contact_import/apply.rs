//! One row at the log: create the contact, or skip, fill or overwrite the one that has the address.

use super::{
    engine::{Duplicates, Merge, Options},
    patience::persevere,
    report::{Outcome, ReportRow},
    row::{Field, ImportRow},
};
use bus_schema::{CommandId, TenantId, crm::contact::ContactDetails};
use futures::future::BoxFuture;
use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::Mutex,
};
use uuid::Uuid;
use writers::{
    Meta, Rejection, WriteError, Writer,
    crm::contact::{self, Contact, ContactCommand, ContactRejection, normal_email},
};

/// Attempts to catch the holder of an address that moves meanwhile.
const ATTEMPTS: usize = 5;
/// Addresses a dry run remembers to find repetitions within the file: about 40 MB. Later repetitions count as new.
const REMEMBERED: usize = 2_000_000;

/// What every row of one import needs.
pub(super) struct Import<'a> {
    pub(super) writer: &'a Writer,
    pub(super) tenant: &'a TenantId,
    pub(super) options: &'a Options,
    seen: Mutex<HashSet<u64>>,
    hasher: RandomState,
}

impl<'a> Import<'a> {
    pub(super) fn new(writer: &'a Writer, tenant: &'a TenantId, options: &'a Options) -> Self {
        Self { writer, tenant, options, seen: Mutex::default(), hasher: RandomState::new() }
    }

    /// Carries out a row. An error is one that stops the import; what is wrong with this row only is in its report.
    /// Boxed: its being `Send` is then known here, where the lifetimes are.
    pub(super) fn row(&self, mut row: ImportRow) -> BoxFuture<'_, Result<Option<ReportRow>, WriteError>> {
        Box::pin(async move {
            row.tags.extend(self.options.tags.iter().cloned());
            match persevere(self.options.patience, || self.attempt(&row)).await {
                Ok((outcome, contact)) => Ok(Some(ReportRow::new(row.number, row.line, outcome, contact))),
                Err(error) => failed(row.number, row.line, error).map(Some),
            }
        })
    }

    async fn attempt(&self, row: &ImportRow) -> Result<(Outcome, Option<Uuid>), WriteError> {
        if self.options.dry_run { self.foresee(row).await } else { self.apply(row).await }
    }

    async fn apply(&self, row: &ImportRow) -> Result<(Outcome, Option<Uuid>), WriteError> {
        for _ in 0..ATTEMPTS {
            let command = ContactCommand::Create {
                details: row.details.clone(),
                tags: row.tags.clone(),
                import: Some(self.options.import),
            };
            let meta = self.meta(row, "create");
            match contact::create(self.writer, self.tenant, &meta, &command, &row.details.email).await {
                Ok((id, _)) => return Ok((Outcome::Created, Some(id))),
                Err(WriteError::Rejected(rejected)) if rejected.code == ContactRejection::EmailTaken.code() => {}
                Err(error) => return Err(error),
            }
            let Some(holder) = self.holder(row).await? else { continue };
            let Duplicates::Merge(merge) = self.options.duplicates else {
                return Ok((Outcome::Skipped, Some(holder)));
            };
            match self.merge(row, holder, merge).await {
                Ok(outcome) => return Ok((outcome, Some(holder))),
                // The holder moved to another address or was erased meanwhile: the row is for whoever is there now.
                Err(WriteError::Rejected(rejected)) if gone(rejected.code) => {}
                Err(error) => return Err(error),
            }
        }
        Err(WriteError::Conflict)
    }

    /// Who has the row's address, by the log's word.
    async fn holder(&self, row: &ImportRow) -> Result<Option<Uuid>, WriteError> {
        let home = contact::home(self.writer, self.tenant, &row.details.email).await?;
        Ok(self.writer.load::<Contact>(self.tenant, home).await?.state.holder(home))
    }

    /// Details and tags in one commit, so that a crash leaves no half of it.
    async fn merge(&self, row: &ImportRow, id: Uuid, how: Merge) -> Result<Outcome, WriteError> {
        let email = normal_email(&row.details.email)?;
        let subjects = [self.writer.subject::<Contact>(self.tenant, id)];
        let meta = self.meta(row, "merge");
        let email = &email;
        let receipt = self.writer.transact(self.tenant, &meta, &subjects, |tx| {
            Box::pin(async move {
                let before = tx.load::<Contact>(id).await?.state;
                let known = match before.details() {
                    Some(sealed) => {
                        let keys = self.writer.keys().load(self.tenant, &[sealed.key()]).await?;
                        sealed.open(&keys).map_err(|_| ContactRejection::Sealing)?.known()
                    }
                    None => None,
                };
                let details =
                    known.as_ref().map_or_else(|| row.details.clone(), |known| merged(known, &row.details, how));
                let change = ContactCommand::Change { details, import: Some(self.options.import) };
                let mut after = tx.decide::<Contact>(id, &change).await?.state;
                if tx.replayed() {
                    return Ok(true);
                }
                if known.is_none_or(|known| normal_email(&known.email).as_ref() != Ok(email)) {
                    return Err(ContactRejection::HomeOccupied.into());
                }
                let changed = before.details() != after.details();
                for tag in &row.tags {
                    after = tx.decide::<Contact>(id, &ContactCommand::Tag { tag: tag.clone() }).await?.state;
                }
                Ok(changed || !before.tags().eq(after.tags()))
            })
        });
        Ok(if receipt.await?.value { Outcome::Merged } else { Outcome::Unchanged })
    }

    /// What a real run would do now.
    async fn foresee(&self, row: &ImportRow) -> Result<(Outcome, Option<Uuid>), WriteError> {
        let holder = self.holder(row).await?;
        let repeated = self.is_repeated(&normal_email(&row.details.email)?);
        Ok(match (holder.is_some() || repeated, self.options.duplicates) {
            (false, _) => (Outcome::WouldCreate, None),
            (true, Duplicates::Skip) => (Outcome::WouldSkip, holder),
            (true, Duplicates::Merge(_)) => (Outcome::WouldMerge, holder),
        })
    }

    /// Whether an earlier row has this address.
    fn is_repeated(&self, email: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let hash = self.hasher.hash_one(email);
        if seen.len() < REMEMBERED { !seen.insert(hash) } else { seen.contains(&hash) }
    }

    fn meta(&self, row: &ImportRow, step: &str) -> Meta {
        let (import, number) = (self.options.import.to_string(), row.number.to_string());
        Meta {
            command: CommandId::derived(&["import", &import, &number, step]),
            actor: self.options.actor.clone(),
            // By this an undoing tells the import's events from others.
            correlation: self.options.import,
            content: None,
            if_match: None,
            trace: None,
            at: None,
        }
    }
}

/// Filled where nothing was, or overwritten by what the file has. An empty cell never takes anything away, and the
/// address keeps the spelling it has.
fn merged(present: &ContactDetails, row: &ContactDetails, how: Merge) -> ContactDetails {
    let mut details = present.clone();
    for field in Field::MERGED {
        if let Some(value) = field.of(row)
            && (how == Merge::Overwrite || field.of(present).is_none())
        {
            field.set(&mut details, Some(value.to_owned()));
        }
    }
    details
}

fn gone(code: &str) -> bool {
    [ContactRejection::HomeOccupied, ContactRejection::Erased, ContactRejection::Unknown]
        .iter()
        .any(|rejection| rejection.code() == code)
}

/// Tells what is wrong with one row from what stops everything.
pub(super) fn failed(row: u64, line: u64, error: WriteError) -> Result<ReportRow, WriteError> {
    let report = |contact| ReportRow::new(row, line, Outcome::Failed, contact);
    match error {
        WriteError::Rejected(rejected) => {
            let field = rejected.pointer.trim_start_matches('/');
            let row = report(None).because(rejected.code, &rejected.message);
            Ok(ReportRow { field: (!field.is_empty()).then(|| field.to_owned()), ..row })
        }
        WriteError::KeyReused => {
            let message = "this row was imported with other content before; an import's file must not change";
            Ok(report(None).because("row_changed", message))
        }
        WriteError::Conflict => {
            Ok(report(None).because("conflict", "others keep changing this contact; import the row again"))
        }
        WriteError::Decode { .. } | WriteError::UnknownKind { .. } | WriteError::Encode(_) => {
            Ok(report(None).because("contact_unreadable", error.to_string()))
        }
        WriteError::Stale { .. } | WriteError::NoTenant(_) | WriteError::Store(_) | WriteError::Key(_) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::patience::passes, *};
    use writers::StoreError;

    #[test]
    fn a_merge_fills_or_overwrites_and_takes_nothing_away() {
        let details = |first: &str, city: Option<&str>, phone: Option<&str>| ContactDetails {
            email: "a@x.org".into(),
            first_name: Some(first.into()),
            city: city.map(str::to_owned),
            phone: phone.map(str::to_owned),
            ..ContactDetails::default()
        };
        let (present, row) = (details("Ada", Some("Rome"), None), details("Eva", None, Some("1")));
        assert_eq!(merged(&present, &row, Merge::Fill), details("Ada", Some("Rome"), Some("1")));
        assert_eq!(merged(&present, &row, Merge::Overwrite), details("Eva", Some("Rome"), Some("1")));
    }

    #[test]
    fn only_what_is_wrong_with_the_row_stays_in_the_row() {
        let row = failed(3, 4, ContactRejection::TooManyTags.into()).unwrap();
        assert_eq!(
            (row.outcome, row.code.as_deref(), row.field.as_deref()),
            (Outcome::Failed, Some("too_many_tags"), Some("tags"))
        );
        assert!(failed(3, 4, WriteError::Conflict).is_ok());
        for error in [StoreError::Full("full".into()), StoreError::Unreachable("gone".into())] {
            assert!(failed(3, 4, error.into()).is_err());
        }
        assert!(passes(&WriteError::Conflict));
    }
}
