//! The database of a blog.

use std::collections::BTreeMap;

use kube::{KubeSchema, core::Rule};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::null_is_empty;
use crate::quantity::Resources;

/// Database of the users and posts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.managed) && has(self.external))")
    .message("database has managed or external, not both; remove one of them"))]
#[x_kube(validation = Rule::new("has(self.external) == has(oldSelf.external)")
    .message("a blog can't change between a managed and an external database: its posts would be left behind; make a new \
        FlaskBlog, and move the posts with blog-app export and blog-app import"))]
// An omitted class means the default class.
#[x_kube(validation = Rule::new(
    "(has(self.managed) && has(self.managed.storage.storageClassName) ? self.managed.storage.storageClassName : '') == \
     (has(oldSelf.managed) && has(oldSelf.managed.storage.storageClassName) ? oldSelf.managed.storage.storageClassName : '')")
    .message("storageClassName can't change: a volume stays in its class; make a new FlaskBlog and move the data"))]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// A MySQL server that the operator runs for this blog alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedDatabase>,
    /// An existing MySQL server that the operator doesn't manage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalDatabase>,
}

/// The rule for `storage.size`, which is a rule of the whole resource since only that includes the status.
///
/// A smaller size is accepted if the PVC never requested the larger one, or if the volume never reached it. Kubernetes allows
/// a PVC's request to return to any size above the capacity
/// (<https://kubernetes.io/docs/concepts/storage/persistent-volumes/#recovering-from-failure-when-expanding-volumes>).
pub(super) fn storage_size_rule() -> Rule {
    // An omitted size means the default: otherwise removing `managed` later would shrink the volume.
    let size = |blog: &str| {
        let managed = format!("{blog}.spec.database.managed");
        format!(
            "quantity(has({blog}.spec.database) && has({managed}) ? {managed}.storage.size : '{}')",
            default_storage_size()
        )
    };
    let (new, old) = (size("self"), size("oldSelf"));
    Rule::new(format!(
        "{new}.compareTo({old}) >= 0 || has(self.status) && has(self.status.storage) && \
         ({new}.compareTo(quantity(self.status.storage.requested)) >= 0 || \
         has(self.status.storage.capacity) && {new}.compareTo(quantity(self.status.storage.capacity)) > 0)"
    ))
    .message(
        "storage.size can grow but never shrink: a volume can't be made smaller. After a refused growth it can return to \
         status.storage.requested, after a failed one to any size above status.storage.capacity; write such a size",
    )
}

/// An existing MySQL server that the operator doesn't manage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalDatabase {
    /// Host name or address of the server.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9._:]*[A-Za-z0-9])?$"))]
    pub host: String,
    /// Port of the server.
    #[serde(default = "mysql_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Name of the database on the server.
    #[serde(default = "default_database")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[^\x00-\x1f\x7f/`]+$"))]
    pub database: String,
    /// Secret in the blog's namespace with the keys `username` and `password`. `VerifyCA` and `VerifyIdentity` also need the
    /// key `ca.crt`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub credentials_secret: String,
    /// TLS mode, in MySQL's terms. `Disabled` never encrypts. `Preferred` encrypts if the server offers it. `Required` always
    /// encrypts, without verification. `VerifyCA` also verifies the server's certificate by the CA in `ca.crt`.
    /// `VerifyIdentity` also verifies that it is valid for `host`.
    #[serde(default)]
    pub tls: TlsMode,
}

fn mysql_port() -> i32 {
    3306
}

fn default_database() -> String {
    "flaskr".into()
}

/// TLS of connections to an external server, in MySQL's terms (`--ssl-mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsMode {
    /// Never encrypted.
    Disabled,
    /// Encrypted if the server offers it.
    #[default]
    Preferred,
    /// Always encrypted; the server's certificate isn't verified.
    Required,
    /// Always encrypted, by a server with a certificate of the CA.
    #[serde(rename = "VerifyCA")]
    VerifyCa,
    /// The same, and the certificate must be valid for the host.
    VerifyIdentity,
}

impl TlsMode {
    /// The spelling of the resource and of the blog's settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "Disabled",
            Self::Preferred => "Preferred",
            Self::Required => "Required",
            Self::VerifyCa => "VerifyCA",
            Self::VerifyIdentity => "VerifyIdentity",
        }
    }

    /// Whether the mode needs a CA certificate.
    #[must_use]
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyIdentity)
    }
}

/// A MySQL server that the operator runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedDatabase {
    /// Image of MySQL: the official one, or a compatible one.
    #[serde(default = "default_mysql_image")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: String,
    /// Volume of the data.
    #[serde(default)]
    pub storage: Storage,
    /// Compute resources of MySQL. Default: requests of 100m CPU and 512Mi memory, a limit of 1Gi memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Creates a VerticalPodAutoscaler in mode `Off`, which recommends resources for MySQL in the condition
    /// `ResourcesRecommended`. It changes nothing: copy the values into `resources` when a restart of MySQL is acceptable.
    /// Requires the vertical autoscaler's CRD and its recommender. Without them the blog runs all the same
    /// (<https://github.com/kubernetes/autoscaler/tree/master/vertical-pod-autoscaler>).
    #[serde(default, deserialize_with = "null_is_empty")]
    pub recommend_resources: bool,
    /// Settings of MySQL's section `[mysqld]`, for example `max_connections: "200"`. A change restarts MySQL. Settings that
    /// the operator controls are refused.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "settings")]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^[a-z][a-z0-9_]*$') && size(key) <= 64)")
        .message("names in database.managed.config are written with small letters, digits and _, for example \
            max_connections"))]
    #[x_kube(validation = Rule::new(FORBIDDEN_RULE).message(FORBIDDEN_MESSAGE))]
    pub config: BTreeMap<String, String>,
}

/// Refuses controlled options, their abbreviations, and their forms with prefixes such as `loose_`.
///
/// MySQL accepts any unambiguous beginning of an option's name.
const FORBIDDEN_RULE: &str = "self.all(key, !key.matches('^(loose|skip|enable|disable|maximum)_') && \
    !['admin_address', 'admin_port', 'admin_ssl_ca', 'auto_generate_certs', 'basedir', 'bind_address', 'chroot', 'console', 'core_file', \
    'daemonize', 'datadir', 'default_authentication_plugin', 'defaults_file', 'early_plugin_load', 'gdb', 'help', 'init_connect', 'init_file', \
    'initialize', 'initialize_insecure', 'innodb_data_file_path', 'innodb_data_home_dir', 'innodb_force_recovery', \
    'innodb_log_group_home_dir', 'innodb_read_only', 'innodb_undo_directory', 'log_error', 'log_raw', 'lower_case_table_names', \
    'mandatory_roles', 'pid_file', 'plugin_dir', 'plugin_load', 'plugin_load_add', 'port', 'read_only', 'require_secure_transport', \
    'secure_file_priv', 'socket', 'ssl', 'ssl_ca', 'ssl_capath', 'ssl_cert', 'ssl_cipher', 'ssl_crl', 'ssl_crlpath', 'ssl_key', \
    'super_read_only', 'symbolic_links', 'tls_version', 'tmpdir', 'upgrade', 'user', 'validate_config', 'verbose', 'version'\
    ].exists(forbidden, forbidden.startsWith(key)))";

/// One message for all names, as CEL's messages can't include the entry.
const FORBIDDEN_MESSAGE: &str = "database.managed.config can't set what the operator sets or what would lock the data away: \
    paths, sockets, ports, addresses, TLS, read-only modes, plugins, initialisation, lower_case_table_names and log_raw, nor use \
    the prefixes loose_, skip_, enable_, disable_ and maximum_; remove the entry";

fn settings(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "object", "nullable": true, "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 256, "pattern": r"^[^\x00-\x1f\x7f]*$"},
    })
}

fn default_mysql_image() -> String {
    "mysql:9.7".into()
}

impl Default for ManagedDatabase {
    fn default() -> Self {
        Self {
            image: default_mysql_image(),
            storage: Storage::default(),
            resources: None,
            recommend_resources: false,
            config: BTreeMap::new(),
        }
    }
}

/// Volume of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Size of the volume. It can grow if the storage class allows expansion, and never shrinks. An expansion that was refused
    /// or has failed can be reverted, see `status.storage`.
    #[serde(default = "default_storage_size")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]+(Mi|Gi|Ti)$"))]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('256Mi')) >= 0")
        .message("storage.size must be at least 256Mi, MySQL's own files need that much"))]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('64Ti')) <= 0")
        .message("storage.size must be at most 64Ti; write for example 10Gi"))]
    pub size: String,
    /// Storage class of the volume. Default: the cluster's default class. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub storage_class_name: Option<String>,
}

fn default_storage_size() -> String {
    "1Gi".into()
}

impl Default for Storage {
    fn default() -> Self {
        Self { size: default_storage_size(), storage_class_name: None }
    }
}
