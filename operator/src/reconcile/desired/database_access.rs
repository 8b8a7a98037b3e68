//! Database access of the blog's containers: variables, and files for secrets.

use flaskblog_api::{Child, TlsMode};
use k8s_openapi::api::core::v1::{
    EnvVar, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount, VolumeProjection,
};

use super::pods::{MYSQL_PORT, env, env_from_secret, files, read_only};
use crate::model::plan::{DatabasePlan, Plan};

/// Name of the volume.
const VOLUME: &str = "database";
const FOLDER: &str = "/etc/blog/database";
/// File of the trusted CAs. It follows its Secret, so a CA can be replaced without a restart.
const AUTHORITY: &str = "ca.crt";
/// Exists only while a new password is being introduced.
const PREVIOUS: &str = "previous-password";

/// Variables with the server, the account and the paths of the passwords.
pub(super) fn variables(plan: &Plan) -> Vec<EnvVar> {
    let secret = secret(plan);
    let password = env("BLOG_DATABASE_PASSWORD_FILE", format!("{FOLDER}/password"));
    let previous = env("BLOG_DATABASE_PREVIOUS_PASSWORD_FILE", format!("{FOLDER}/{PREVIOUS}"));
    let user = env_from_secret("BLOG_DATABASE_USER", &secret, "username");
    match &plan.database {
        DatabasePlan::Managed(_) => vec![
            env("BLOG_DATABASE_HOST", Child::DatabaseService.name(&plan.id.name)),
            env("BLOG_DATABASE_PORT", MYSQL_PORT.to_string()),
            env_from_secret("BLOG_DATABASE_NAME", &secret, "database"),
            user,
            password,
            previous,
            env("BLOG_DATABASE_TLS", TlsMode::VerifyIdentity.as_str()),
            env("BLOG_DATABASE_CA_FILE", format!("{FOLDER}/{AUTHORITY}")),
        ],
        DatabasePlan::External(server) => {
            let mut variables = vec![
                env("BLOG_DATABASE_HOST", server.host.clone()),
                env("BLOG_DATABASE_PORT", server.port.to_string()),
                env("BLOG_DATABASE_NAME", super::pods::literal(&server.database)),
                user,
                password,
                previous,
                env("BLOG_DATABASE_TLS", server.tls.as_str()),
            ];
            if server.tls.verifies() {
                variables.push(env("BLOG_DATABASE_CA_FILE", format!("{FOLDER}/{AUTHORITY}")));
            }
            variables
        }
    }
}

/// The secret files.
///
/// Never a whole Secret: the blog needs neither the administrator's password nor a private key.
pub(super) fn volume(plan: &Plan) -> Volume {
    let needed: &[&str] = match &plan.database {
        DatabasePlan::External(server) if server.tls.verifies() => &["password", AUTHORITY],
        _ => &["password"],
    };
    let mut sources =
        vec![projection(secret(plan), needed, None), projection(secret(plan), &[PREVIOUS], Some(true))];
    if plan.database.managed().is_some() {
        sources.push(projection(Child::DatabaseCertificates.name(&plan.id.name), &[AUTHORITY], None));
    }
    Volume {
        name: VOLUME.into(),
        projected: Some(ProjectedVolumeSource { default_mode: Some(0o440), sources: Some(sources) }),
        ..Volume::default()
    }
}

/// Mounts the files in a container.
pub(super) fn mount() -> VolumeMount {
    read_only(VOLUME, FOLDER)
}

fn secret(plan: &Plan) -> String {
    match &plan.database {
        DatabasePlan::Managed(_) => Child::DatabaseSecret.name(&plan.id.name),
        DatabasePlan::External(server) => server.credentials_secret.clone(),
    }
}

fn projection(secret: String, keys: &[&str], optional: Option<bool>) -> VolumeProjection {
    VolumeProjection {
        secret: Some(SecretProjection { name: secret, items: Some(files(keys)), optional }),
        ..VolumeProjection::default()
    }
}
