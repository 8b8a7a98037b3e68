//! Annotations of the operator, and the keys of Secrets that belong to them.

/// On each child: hash of the last desired state.
///
/// It changes when the operator no longer wants a field.
pub const DESIRED_HASH: &str = "flaskblog.dev/desired-hash";
/// On the Deployment: the first default image of a blog without `spec.image`.
pub const DEFAULT_IMAGE: &str = "flaskblog.dev/default-image";

/// On Deployment and StatefulSet: hash of the last desired pod template.
///
/// Another hash means a restart.
pub const TEMPLATE_HASH: &str = "flaskblog.dev/template-hash";
/// On the FlaskBlog, by a user: the token of approved restarts.
///
/// It applies under `rolloutPolicy: Manual`.
pub const APPROVE: &str = "flaskblog.dev/approve";
/// On the FlaskBlog, by a user: the MySQL series allowed for upgrades.
///
/// For example `9.7`.
pub const ALLOW_UPGRADE: &str = "flaskblog.dev/allow-database-upgrade";

/// On the FlaskBlog, by a user: the lost volume to give up.
///
/// The database may start empty without it.
pub const ALLOW_EMPTY: &str = "flaskblog.dev/allow-empty-database";
/// On the PVC: the image that has last served its data.
pub const SERVED_IMAGE: &str = "flaskblog.dev/served-by-image";
/// On the database's Secret: the PersistentVolume of the data.
pub const DATA_VOLUME: &str = "flaskblog.dev/data-volume";
/// On the session Secret: the node port for a recreated Service.
pub const NODE_PORT: &str = "flaskblog.dev/node-port";
/// The same value, as a key of the database's Secret.
///
/// MySQL's pod reads it.
pub const DATA_VOLUME_KEY: &str = "data-volume";

/// On the Secrets and the PVC: keeps deployment tools from pruning them.
///
/// Sources: Argo CD "Sync Options", Flux "Kustomization", Helm "Chart Tips and Tricks".
pub const KEEP: [(&str, &str); 4] = [
    ("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
    ("argocd.argoproj.io/compare-options", "IgnoreExtraneous"),
    ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
    ("helm.sh/resource-policy", "keep"),
];

/// On the FlaskBlog, by a user: rotates the account's password when changed.
pub const ROTATE_PASSWORD: &str = "flaskblog.dev/rotate-password";
/// On the FlaskBlog, by a user: rotates root's password when changed.
pub const ROTATE_ROOT_PASSWORD: &str = "flaskblog.dev/rotate-root-password";
/// On the FlaskBlog, by a user: rotates the session key when changed.
///
/// All sessions stay valid.
pub const ROTATE_SESSION_KEYS: &str = "flaskblog.dev/rotate-session-keys";
/// On a Secret: its last rotation.
///
/// The value is the user's request or, for a rotation by age, the time.
pub const ROTATION: &str = "flaskblog.dev/rotation";
/// On a Secret: the last handled request. Without it, the last rotation counts.
pub const LAST_HANDLED_ROTATION: &str = "flaskblog.dev/last-handled-rotation";
/// On a Secret: the time of its last rotation.
pub const ROTATED_AT: &str = "flaskblog.dev/rotated-at";
/// On a Secret: the rotation in progress.
pub const ROTATION_IN_PROGRESS: &str = "flaskblog.dev/rotation-in-progress";
/// On the database's Secret: the last handled request for root.
pub const LAST_HANDLED_ROOT_ROTATION: &str = "flaskblog.dev/last-handled-root-rotation";
/// On the database's Secret: the time of root's last rotation.
pub const ROOT_ROTATED_AT: &str = "flaskblog.dev/root-rotated-at";

/// On the FlaskBlog, by a user: rotates CA and certificate when changed.
///
/// No connection fails.
pub const ROTATE_CERTIFICATES: &str = "flaskblog.dev/rotate-certificates";
/// On the certificates' Secret: when to renew MySQL's certificate (RFC 3339).
pub const RENEW_CERTIFICATE: &str = "flaskblog.dev/renew-certificate-after";
/// On the certificates' Secret: when MySQL's certificate expires (RFC 3339).
pub const CERTIFICATE_NOT_AFTER: &str = "flaskblog.dev/certificate-not-after";
/// On the certificates' Secret: when to replace its CA (RFC 3339).
pub const RENEW_CA: &str = "flaskblog.dev/renew-ca-after";
/// On the certificates' Secret: time of the last rotation step (RFC 3339).
pub const ROTATION_STEP_TAKEN: &str = "flaskblog.dev/rotation-step-taken";

/// Annotations of Secrets by the names that earlier builds gave them, with today's names.
pub const RENAMED: [(&str, &str); 4] = [
    ("flaskblog.dev/rotation-heard", LAST_HANDLED_ROTATION),
    ("flaskblog.dev/rotation-under-way", ROTATION_IN_PROGRESS),
    ("flaskblog.dev/root-rotation-heard", LAST_HANDLED_ROOT_ROTATION),
    ("flaskblog.dev/renew-authority-after", RENEW_CA),
];
