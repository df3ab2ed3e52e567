//! The first tenant of a data directory: made once, its login kept in a file of mode 0600 beside the root key.

use crate::{
    platform::StartError,
    ready::{self, Ready},
};
use api::App;
use bus_schema::{
    CommandId, KeyId, TenantId,
    identity::{account::AccountPerson, role::Role, scope::Scopes},
};
use std::path::{Path, PathBuf};
use writers::{
    Meta,
    identity::{
        account, api_key,
        tenant::{self, TenantCommand},
    },
};

/// Kept under keys/: whoever can read it can do everything in the tenant.
const FILE: &str = "admin.json";

/// The login of the first tenant, made when there is none in the folder of secrets yet. The flag tells whether this was the
/// first start.
pub async fn ensure(app: &App, keys: &Path, tenant: &str) -> Result<(Ready, bool), StartError> {
    if let Ok(login) = Ready::read(&keys.join(FILE)) {
        return Ok((login, false));
    }
    let (_, login) = renew(app, keys, tenant).await?;
    Ok((login, true))
}

/// Whether the tenant has its first account.
pub async fn is_there(app: &App, tenant: &TenantId) -> bool {
    match account::account_of(&app.writer, tenant, &email_of(tenant.as_str())).await {
        Ok(id) => account::person_of(&app.writer, tenant, id).await.is_ok(),
        Err(_) => false,
    }
}

/// A new login of the tenant's first account, which is made if there is none; and the file it is in.
pub async fn renew(app: &App, keys: &Path, tenant: &str) -> Result<(PathBuf, Ready), StartError> {
    let path = keys.join(FILE);
    let login = make(app, tenant).await.map_err(|error| StartError::Setup(error.to_string()))?;
    ready::write(&path, &login)?;
    Ok((path, login))
}

fn email_of(tenant: &str) -> String {
    format!("admin@{tenant}.example")
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Every step is safe to repeat, so a start that was cut off goes on: what exists already is kept, the account gets a
/// new password and there is one more key.
async fn make(app: &App, tenant: &str) -> Result<Ready, AnyError> {
    let (writer, passwords) = (&app.writer, app.sign_in.passwords());
    let name = TenantId::try_new(tenant)?;
    let meta = |what: &str| Meta::system("setup", CommandId::derived(&["setup", tenant, what]));
    let fresh = || Meta::system("setup", CommandId::random());
    let create = TenantCommand::Create {
        name: if tenant == "demo" { "Demo" } else { "Main" }.into(),
        locale: "en".into(),
        time_zone: "Europe/Berlin".into(),
    };
    tenant::found(writer, &name, &meta("tenant"), &create).await?;
    let email = email_of(tenant);
    let password = format!("M1-{}", KeyId::random().0.simple());
    let person = AccountPerson { email: email.clone(), name: "Admin".into() };
    let id = account::account_of(writer, &name, &email).await?;
    if account::person_of(writer, &name, id).await.is_ok() {
        account::change_password(writer, passwords, &name, id, &fresh(), &password).await?;
    } else {
        account::create(writer, passwords, &name, &fresh(), &person, &password, &[Role::Owner]).await?;
    }
    let made = api_key::create(writer, &name, &fresh(), "first key", &Scopes::parse(["*"])?, None).await?;
    let api_key = made.token.map(|token| token.expose()).unwrap_or_default();
    Ok(Ready {
        url: String::new(),
        tenant: tenant.into(),
        email,
        password,
        api_key,
        pid: 0,
        nats_pid: None,
        inbox: None,
    })
}
