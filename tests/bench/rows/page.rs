//! A published page from the cache against the same bytes from nginx.

use super::{rate, ratios};
use crate::{
    AnyError, Scale,
    nginx::{Nginx, wrk},
    platform::Platform,
    sites,
    table::{Outcome, Reach},
};

const NAME: &str = "published page, cached";

pub(super) async fn measure(scale: Scale) -> Result<Vec<Outcome>, AnyError> {
    let platform = Platform::start(false)?;
    let Some((path, bytes)) = sites::publish(&platform).await? else {
        return Ok(vec![Outcome::skipped(NAME, "this build has no pages (POST /v1/pages is 404)")]);
    };
    let nginx = Nginx::serve(&bytes)?;
    let (turns, seconds) = (scale.of(5, 3), scale.of(4, 2));
    let url = format!("{}{path}", platform.url());
    // wrk is waited for on a thread of its own, so that this runtime stays out of the way.
    let (pages, files) = tokio::task::spawn_blocking(move || {
        let (mut pages, mut files) = (Vec::new(), Vec::new());
        wrk(&url, 1)?;
        for _ in 0..turns {
            files.push(wrk(&nginx.url(), seconds)?);
            pages.push(wrk(&url, seconds)?);
        }
        Ok::<_, AnyError>((pages, files))
    })
    .await??;
    let name = format!("{NAME} ({} bytes)", bytes.len());
    let ratios = ratios(&pages, &files);
    let ceiling = format!("{} from nginx", rate(&files, "requests"));
    Ok(vec![Outcome::of(&name, rate(&pages, "requests"), ceiling, &ratios, Reach::AtLeast(0.4))])
}
