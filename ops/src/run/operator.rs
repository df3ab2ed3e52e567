//! The tenant whose people operate the installation: made by the first process that finds none.

use super::once;
use crate::{base::Base, data_dir::DataDir, platform::StartError, setup};
use api::App;
use bus_schema::TenantId;

/// Makes the tenant and its first account if there is none, or a new login of it if that is wanted. The login goes to the
/// data directory of the process that made it; the others know nothing of it.
pub(super) async fn ensure(
    app: &App,
    base: &Base,
    data: &DataDir,
    operator: &TenantId,
    new_login: bool,
) -> Result<(), StartError> {
    let alone = once::alone(&base.bus, "setup").await?;
    let made = async {
        if !new_login && setup::is_there(app, operator).await {
            return Ok(());
        }
        let (path, login) = setup::renew(app, &data.keys(), operator.as_str()).await?;
        tracing::warn!(email = login.email, path = %path.display(), "a login was made: its password and API key are in this file");
        Ok(())
    };
    let made = made.await;
    alone.end().await;
    made
}
