//! Which files a page shows, and whether they are there.

use crate::{
    app::App,
    http::problem::{FieldError, Problem},
};
use bus_schema::TenantId;
use std::collections::BTreeSet;
use uuid::Uuid;
use writers::cms::file::File;

/// Files one page may show.
const MOST: usize = 500;
/// What stands before the id of a file in an address.
const BEFORE: &str = "/files/";

/// The files an HTML names, as `…/files/<id>/…`.
pub fn named(html: &str) -> BTreeSet<Uuid> {
    let ids = html.match_indices(BEFORE).filter_map(|(at, _)| {
        let (id, rest) = html.get(at + BEFORE.len()..)?.split_at_checked(36)?;
        rest.starts_with('/').then(|| Uuid::try_parse(id).ok())?
    });
    ids.collect()
}

/// 422 unless everything is there that a page would show.
pub async fn check(app: &App, tenant: &TenantId, html: &str) -> Result<(), Problem> {
    let named = named(html);
    let wrong =
        |code: &'static str, message: String| Problem::validation(vec![FieldError::new("/body", code, message)]);
    if named.len() > MOST {
        return Err(wrong("too_many_files", format!("a page shows at most {MOST} files")));
    }
    for id in named {
        if app.writer.load::<File>(tenant, id).await?.state.served().is_none() {
            let message = format!(
                "the page shows the file {id}, which was never uploaded or is deleted: correct the address or reinstate it"
            );
            return Err(wrong("unknown_file", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_every_form_of_address() {
        let id = |n: u128| Uuid::from_u128(n);
        let html = format!(
            "<img src=\"/sites/demo/files/{}/a.png\"><img src='/files/{}/b.png'><a href=\"https://x.example/files/{}/c\">",
            id(1),
            id(2),
            id(3)
        );
        assert_eq!(named(&html), [id(1), id(2), id(3)].into());
        for none in ["/files/", "/files/not-an-id/x", &format!("/files/{}", id(1)), "/files/ääääääääääääääääääää/"]
        {
            assert!(named(none).is_empty(), "{none}");
        }
    }
}
