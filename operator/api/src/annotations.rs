//! The annotations that the operator writes and reads, and the keys of Secrets that go with them.

/// On each child: hash of what the operator last wanted, so that a field that it no longer wants is noticed.
pub const DESIRED_HASH: &str = "flaskblog.dev/desired-hash";
/// On the Deployment: the default image that a blog without `spec.image` was first given.
pub const DEFAULT_IMAGE: &str = "flaskblog.dev/default-image";

/// On Deployment and StatefulSet: hash of the pod template that the operator last wanted; another one means a restart.
pub const TEMPLATE_HASH: &str = "flaskblog.dev/template-hash";
/// On the FlaskBlog, by a person: the token of the restarts that may go ahead under `rolloutPolicy: Manual`.
pub const APPROVE: &str = "flaskblog.dev/approve";
/// On the FlaskBlog, by a person: the MySQL series, such as `9.7`, that the data may be upgraded to.
pub const ALLOW_UPGRADE: &str = "flaskblog.dev/allow-database-upgrade";

/// On the FlaskBlog, by a user: the lost volume without which the database may start empty.
pub const ALLOW_EMPTY: &str = "flaskblog.dev/allow-empty-database";
/// On the PersistentVolumeClaim: the image that has last served its data.
pub const SERVED_IMAGE: &str = "flaskblog.dev/served-by-image";
/// On the database's Secret: the PersistentVolume that holds the data.
pub const DATA_VOLUME: &str = "flaskblog.dev/data-volume";
/// On the Secret of sessions: the node port of the blog's Service, for a Service that is created again.
pub const NODE_PORT: &str = "flaskblog.dev/node-port";
/// The key of the database's Secret with the same value, for MySQL's pod.
pub const DATA_VOLUME_KEY: &str = "data-volume";

/// On the Secrets and the PersistentVolumeClaim: deployment tools that prune by label keep them.
///
/// Sources: Argo CD "Sync Options", Flux "Kustomization", Helm "Chart Tips and Tricks".
pub const KEEP: [(&str, &str); 4] = [
    ("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
    ("argocd.argoproj.io/compare-options", "IgnoreExtraneous"),
    ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
    ("helm.sh/resource-policy", "keep"),
];

/// On the FlaskBlog, by a person: any new value gives the database's account a new password.
pub const ROTATE_PASSWORD: &str = "flaskblog.dev/rotate-password";
/// On the FlaskBlog, by a person: any new value gives MySQL's root a new password.
pub const ROTATE_ROOT_PASSWORD: &str = "flaskblog.dev/rotate-root-password";
/// On the FlaskBlog, by a person: any new value makes a new key for signing sessions; nobody is logged out.
pub const ROTATE_SESSION_KEYS: &str = "flaskblog.dev/rotate-session-keys";
/// On a Secret: the rotation that it has seen last, by its person's word or, if its age was the reason, its time.
pub const ROTATION: &str = "flaskblog.dev/rotation";
/// On a Secret: the word of a person that was heard last. Without it, that of the last rotation.
pub const ROTATION_HEARD: &str = "flaskblog.dev/rotation-heard";
/// On a Secret: when it was rotated last.
pub const ROTATED_AT: &str = "flaskblog.dev/rotated-at";
/// On a Secret: that rotation isn't finished.
pub const ROTATION_UNDER_WAY: &str = "flaskblog.dev/rotation-under-way";
/// On the database's Secret: the word of a person that was heard last about root.
pub const ROOT_ROTATION_HEARD: &str = "flaskblog.dev/root-rotation-heard";
/// On the database's Secret: when root was given a new password last.
pub const ROOT_ROTATED_AT: &str = "flaskblog.dev/root-rotated-at";

/// On the FlaskBlog, by a person: any new value gives MySQL a new authority and a new certificate; no connection fails.
pub const ROTATE_CERTIFICATES: &str = "flaskblog.dev/rotate-certificates";
/// On the Secret of certificates: when MySQL's certificate is to be signed anew (RFC 3339).
pub const RENEW_CERTIFICATE: &str = "flaskblog.dev/renew-certificate-after";
/// On the Secret of certificates: until when MySQL's certificate is good (RFC 3339).
pub const CERTIFICATE_NOT_AFTER: &str = "flaskblog.dev/certificate-not-after";
/// On the Secret of certificates: when its authority is to be followed by a new one (RFC 3339).
pub const RENEW_AUTHORITY: &str = "flaskblog.dev/renew-authority-after";
/// On the Secret of certificates: when the last step of a rotation was taken (RFC 3339).
pub const ROTATION_STEP_TAKEN: &str = "flaskblog.dev/rotation-step-taken";
