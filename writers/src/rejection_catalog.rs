//! Every rejection a command can be answered with: what the API's reference lists. One line per enum; a test finds the
//! ones that are missing.

use crate::{cms, crm, identity, learning, mail, platform, rejection::RejectionSpec, shop};

/// The rejections of each kind of decision, by the name of their enum.
pub const CATALOG: &[(&str, &[RejectionSpec])] = &[
    ("FileRejection", cms::file::FileRejection::SPECS),
    ("PageRejection", cms::page::PageRejection::SPECS),
    ("ContactRejection", crm::contact::ContactRejection::SPECS),
    ("ImportRejection", crm::import::ImportRejection::SPECS),
    ("SegmentRejection", crm::segment::SegmentRejection::SPECS),
    ("SubscriptionFormRejection", crm::subscription_form::SubscriptionFormRejection::SPECS),
    ("AccountRejection", identity::account::AccountRejection::SPECS),
    ("ApiKeyRejection", identity::api_key::ApiKeyRejection::SPECS),
    ("TokenRejection", identity::authenticate::TokenRejection::SPECS),
    ("PasswordRejection", identity::password::PasswordRejection::SPECS),
    ("ResetRejection", identity::password_reset::ResetRejection::SPECS),
    ("SessionRejection", identity::session::SessionRejection::SPECS),
    ("TenantRejection", identity::tenant::TenantRejection::SPECS),
    ("CourseRejection", learning::course::CourseRejection::SPECS),
    ("EnrolmentRejection", learning::enrolment::EnrolmentRejection::SPECS),
    ("CampaignRejection", mail::campaign::CampaignRejection::SPECS),
    ("ChunkRejection", mail::chunk::ChunkRejection::SPECS),
    ("FeedbackRejection", mail::feedback::FeedbackRejection::SPECS),
    ("MailSettingsRejection", mail::settings::MailSettingsRejection::SPECS),
    ("MessageRejection", mail::message::MessageRejection::SPECS),
    ("SuppressionRejection", mail::suppression::SuppressionRejection::SPECS),
    ("TestSendRejection", mail::test_send::TestSendRejection::SPECS),
    ("AlarmRejection", platform::alarm::AlarmRejection::SPECS),
    ("ParkedItemRejection", platform::parked_item::ParkedItemRejection::SPECS),
    ("WorkerRejection", platform::worker::WorkerRejection::SPECS),
    ("FulfilmentRejection", shop::fulfilment::FulfilmentRejection::SPECS),
    ("OrderRejection", shop::order::OrderRejection::SPECS),
    ("ProductRejection", shop::product::ProductRejection::SPECS),
];

/// All rejections together.
pub fn all() -> impl Iterator<Item = &'static RejectionSpec> {
    CATALOG.iter().flat_map(|(_, specs)| specs.iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::BTreeSet,
        path::{Path, PathBuf},
    };

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// The names of the enums that `rejections!` makes in a source.
    fn declared(source: &str) -> Vec<String> {
        let mut rest = source;
        let mut names = Vec::new();
        while let Some(at) = rest.find("\nrejections! {") {
            rest = &rest[at + 1..];
            let name = rest.split("pub enum ").nth(1).and_then(|text| text.split([' ', '{']).next());
            names.push(name.unwrap_or_default().to_owned());
        }
        names
    }

    #[test]
    fn every_enum_of_rejections_is_listed() {
        let mut files = Vec::new();
        sources(Path::new("src"), &mut files);
        let listed: BTreeSet<&str> = CATALOG.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed.len(), CATALOG.len(), "an enum stands twice");
        let mut found = 0;
        for file in files {
            for name in declared(&std::fs::read_to_string(&file).unwrap()) {
                found += 1;
                assert!(listed.contains(name.as_str()), "list {name} of {} in rejection_catalog.rs", file.display());
            }
        }
        assert_eq!(found, CATALOG.len());
    }

    #[test]
    fn codes_are_snake_case_and_documented() {
        for spec in all() {
            assert!(spec.code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{spec:?}");
            assert!(spec.message.len() > 10, "{spec:?} says too little");
        }
    }
}
