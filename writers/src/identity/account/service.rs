//! The commands that have a password in hand: its rules are checked and it is hashed here, before anything is decided.

use super::{Account, AccountCommand, AccountRejection, normal_email};
use crate::{
    identity::{
        password::check_password,
        password_hash::{HashError, PasswordPool},
    },
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use bus_schema::{
    TenantId,
    identity::{account::AccountPerson, role::Role},
};
use uuid::Uuid;

/// The account that has an e-mail address, if there is one.
pub async fn account_of(writer: &Writer, tenant: &TenantId, email: &str) -> Result<Uuid, WriteError> {
    let email = normal_email(email)?;
    Ok(writer.tenant_key(tenant).await?.derived_id("account.email", &email))
}

/// Makes an account.
pub async fn create(
    writer: &Writer,
    passwords: &PasswordPool,
    tenant: &TenantId,
    meta: &Meta,
    person: &AccountPerson,
    password: &str,
    roles: &[Role],
) -> Result<(Uuid, Receipt<Loaded<Account>>), AccountError> {
    let id = account_of(writer, tenant, &person.email).await?;
    check_password(password, &person.email).map_err(WriteError::from)?;
    let password = passwords.hash(password).await?;
    let command = AccountCommand::Create { person: person.clone(), password, roles: roles.to_vec() };
    Ok((id, writer.execute::<Account>(tenant, id, meta, &command).await?))
}

/// Gives an account another password. Its sessions are over with it.
pub async fn change_password(
    writer: &Writer,
    passwords: &PasswordPool,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    password: &str,
) -> Result<Receipt<Loaded<Account>>, AccountError> {
    let person = person_of(writer, tenant, id).await?;
    check_password(password, &person.email).map_err(WriteError::from)?;
    let password = passwords.hash(password).await?;
    Ok(writer.execute::<Account>(tenant, id, meta, &AccountCommand::ChangePassword { password }).await?)
}

/// Who has an account.
pub async fn person_of(writer: &Writer, tenant: &TenantId, id: Uuid) -> Result<AccountPerson, WriteError> {
    let account = writer.load::<Account>(tenant, id).await?;
    let sealed = account.state.person().ok_or(AccountRejection::Unknown)?;
    let keys = writer.keys().load(tenant, &[sealed.key()]).await?;
    let person = sealed.open(&keys).map_err(|_| AccountRejection::Sealing)?;
    Ok(person.known().ok_or(AccountRejection::Sealing)?)
}

/// Why a command with a password was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Hash(#[from] HashError),
}
