//! The arguments of `mysqld`: the operator's defaults and the user's settings.
//!
//! They are part of the pod template, so any change of them restarts MySQL, and nothing else does.

use std::collections::BTreeMap;

use super::{database_statefulset::CERTIFICATES, pods::literal};
use crate::model::{plan::ManagedPlan, semantic_eq::units};

/// Memory limit of MySQL unless the user sets one.
pub(super) const DEFAULT_MEMORY: &str = "1Gi";
/// Granularity of InnoDB's buffer pool.
///
/// InnoDB rounds the pool up to a multiple of this, so it is rounded down before.
/// Source: MySQL manual, `innodb_buffer_pool_chunk_size`.
const CHUNK: u64 = 128 << 20;

/// `--name=value`, sorted by name. The user's settings override the operator's.
pub(super) fn arguments(plan: &ManagedPlan) -> Vec<String> {
    // 50 replicas with a pool of ten each, and one more during a rollout. MySQL's default of 151 is enough for 15.
    let mut settings = BTreeMap::from([("max_connections".to_owned(), "600".to_owned())]);
    // MySQL accepts no new certificate that it can't verify itself.
    settings.insert("ssl_ca".into(), format!("{CERTIFICATES}/ca.crt"));
    settings.insert("ssl_cert".into(), format!("{CERTIFICATES}/tls.crt"));
    settings.insert("ssl_key".into(), format!("{CERTIFICATES}/tls.key"));
    // Applies to the network only. The socket in the pod stays open.
    settings.insert("require_secure_transport".into(), "ON".into());
    if let Some(bytes) = buffer_pool(plan) {
        settings.insert("innodb_buffer_pool_size".into(), bytes.to_string());
    }
    settings.extend(plan.spec.config.clone());
    settings
        .into_iter()
        .map(|(name, value)| format!("--{}={}", name.replace('_', "-"), literal(&value)))
        .collect()
}

/// Half of MySQL's memory limit, in bytes.
///
/// The rest is for connections, sorting and the server itself. Resources without a memory limit give `None`, so MySQL's own
/// default applies.
fn buffer_pool(plan: &ManagedPlan) -> Option<u64> {
    let limit = match &plan.spec.resources {
        None => DEFAULT_MEMORY.to_owned(),
        Some(resources) => resources.limits.as_ref()?.memory.as_ref()?.0.clone(),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the schema allows no negative amount"
    )]
    let half = (units(&limit)? / 2.0) as u64;
    Some(if half > CHUNK { half - half % CHUNK } else { half.max(5 << 20) })
}

#[cfg(test)]
mod tests {
    use flaskblog_api::ManagedDatabase;
    use serde_json::json;

    use super::*;

    fn arguments_of(spec: serde_json::Value) -> Vec<String> {
        let spec: ManagedDatabase = serde_json::from_value(spec).unwrap();
        let template_size = "1Gi".into();
        arguments(&ManagedPlan { spec, replicas: 1, template_size, recommender_missing: false })
    }

    #[test]
    fn the_buffer_pool_is_half_of_the_memory_in_whole_chunks() {
        let pool = |memory: &str| {
            let all = arguments_of(json!({"resources": {"limits": {"memory": memory}}}));
            all.into_iter().find(|one| one.contains("buffer-pool")).unwrap()
        };
        assert_eq!(pool("1Gi"), "--innodb-buffer-pool-size=536870912");
        assert_eq!(pool("700Mi"), "--innodb-buffer-pool-size=268435456");
        assert_eq!(pool("200Mi"), "--innodb-buffer-pool-size=104857600");
        let none = arguments_of(json!({"resources": {"requests": {"memory": "1Gi"}}}));
        assert!(!none.iter().any(|one| one.contains("buffer-pool")), "{none:?}");
    }

    #[test]
    fn the_users_settings_come_over_the_operators_and_are_nobodys_program() {
        let config = json!({"max_connections": "200", "init_connect": "", "sql_mode": "$(HOME)",
            "innodb_buffer_pool_size": "64M"});
        assert_eq!(
            arguments_of(json!({"config": config})),
            [
                "--init-connect=",
                "--innodb-buffer-pool-size=64M",
                "--max-connections=200",
                "--require-secure-transport=ON",
                "--sql-mode=$$(HOME)",
                "--ssl-ca=/etc/mysql-tls/ca.crt",
                "--ssl-cert=/etc/mysql-tls/tls.crt",
                "--ssl-key=/etc/mysql-tls/tls.key",
            ]
        );
    }
}
