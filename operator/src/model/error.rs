//! What can go wrong in a reconcile: each error names the operation and the object, and maps to one reason.

use flaskblog_api::conditions::reasons;

/// A failed reconcile. Everything here reaches the status, an Event and a metric label.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object can't be reconciled until somebody changes something.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Reading an object failed.
    #[error("failed to read {kind} {name}: {}", explain(source))]
    Read {
        /// Kind of the object.
        kind: String,
        /// Its name, or the selector of a list.
        name: String,
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
    /// Writing an object failed.
    #[error("failed to {verb} {kind} {name}: {}", explain(source))]
    Write {
        /// create, apply or delete.
        verb: &'static str,
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object of the API server's doesn't have the shape of its kind.
    #[error("failed to understand {kind} {name}: {source}")]
    Decode {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// No certificate could be made.
    #[error("failed to make a certificate for Secret {name}: {source}")]
    Certificate {
        /// Its name.
        name: String,
        /// What is wrong.
        #[source]
        source: rcgen::Error,
    },
    /// A defect: the code of a reconcile panicked.
    #[error("the operator has a defect that this blog's state brings out ({0}); the blog was left as it is")]
    Panicked(String),
    /// The whole reconcile took too long.
    #[error("the reconcile took longer than {0} seconds and was given up; it is tried again")]
    Timeout(u64),
}

/// What the operator refuses to do, and what the user can do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// An object with a child's name belongs to somebody else.
    #[error(
        "{kind} {name} exists and isn't this blog's, so it was left alone: rename the FlaskBlog, or delete the object if nothing \
         needs it: {delete}"
    )]
    NameConflict {
        /// Kind of the stranger.
        kind: String,
        /// Its name.
        name: String,
        /// The command that deletes it.
        delete: String,
    },
    /// A Secret of a child's name that lacks our labels: a stranger's, or one that a person has restored.
    #[error(
        "Secret {name} exists and isn't marked as this blog's, so it was left alone: if it is the blog's, label it: {label}; \
         otherwise rename the FlaskBlog"
    )]
    UnmarkedSecret {
        /// Its name.
        name: String,
        /// The command that marks it.
        label: String,
    },
    /// A claim of the data's name that lacks our labels: a stranger's, or one that a person has restored.
    #[error(
        "PersistentVolumeClaim {name} exists and isn't marked as this blog's, so it was left alone: if it is the blog's, label \
         it: {label}; otherwise rename the FlaskBlog"
    )]
    UnmarkedClaim {
        /// Its name.
        name: String,
        /// The command that marks it.
        label: String,
    },
    /// The garbage collector deletes the claim with another owner.
    #[error(
        "PersistentVolumeClaim {name} is owned by {owner}, and the data is deleted with that, so the operator neither restarts nor \
         scales MySQL. To remove the owner reference: {remove}"
    )]
    OwnedClaim {
        /// Its name.
        name: String,
        /// Kind and name of the owner.
        owner: String,
        /// The command that removes the owner reference.
        remove: String,
    },
    /// A claim that never got a volume and isn't what the spec asks for.
    #[error(
        "PersistentVolumeClaim {name} of an earlier FlaskBlog asks for another storage class or size than the spec and \
         never got a volume, so there is no data in it: remove it with kubectl delete pvc {name} --namespace {namespace}"
    )]
    UselessClaim {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// The claim goes as soon as MySQL's pod ends.
    #[error(
        "PersistentVolumeClaim {claim} is being deleted and its volume {volume} goes with it when no pod uses it; until then \
         the operator neither restarts nor scales MySQL. A deletion can't be undone, but the data can be \
         kept: {keep}"
    )]
    VolumeDeleting {
        /// The claim.
        claim: String,
        /// Its volume.
        volume: String,
        /// The commands that keep it.
        keep: String,
    },
    /// The volume with the data isn't the claim's any more.
    #[error(
        "volume {volume} holds this blog's data, but {found}, so MySQL is not started on an empty volume. If the volume still \
         exists (kubectl get pv {volume}), bind it again: {bind}. To start with an empty database instead: {discard}"
    )]
    VolumeLost {
        /// The volume that has served.
        volume: String,
        /// What is in its place.
        found: String,
        /// The commands that bind it.
        bind: String,
        /// The command that gives up the data.
        discard: String,
    },
    /// Data without its passwords.
    #[error(
        "Secret {secret} is gone while its data volume {claim} exists, so no new passwords are generated. Restore it from a copy; \
         or from MySQL's pod while that runs: {restore}; or start with an empty database: {discard}"
    )]
    CredentialsMissing {
        /// The Secret.
        secret: String,
        /// The volume's claim.
        claim: String,
        /// The command that restores the Secret from the pod.
        restore: String,
        /// The command that gives up the data.
        discard: String,
    },
    /// An object of an earlier blog of the same name hasn't been collected yet.
    #[error(
        "waiting until {kind} {name} of an earlier FlaskBlog is deleted; its finalizers: kubectl get {kind} {name} \
         -n {namespace} -o yaml"
    )]
    WaitingForCleanup {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// An object of this blog goes as soon as its finalizers are gone.
    #[error("{kind} {name} is being deleted{finalizers}, and is created again when it is gone. {advice}")]
    BeingDeleted {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What holds it, or nothing.
        finalizers: String,
        /// The next command.
        advice: String,
    },
    /// The Secret that is named for an external database isn't there.
    #[error(
        "Secret {name}, which spec.database.external.credentialsSecret names, doesn't exist: create it with the keys \
         username and password: kubectl create secret generic {name} -n {namespace} --from-literal=username=USERNAME \
         --from-file=password=PASSWORD_FILE"
    )]
    ExternalSecretMissing {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// An older MySQL on newer data.
    #[error(
        "image {image} is older than MySQL {served}, which has served this data; MySQL can't go back: name the image of \
         {served} or a newer one: {rename}; or make a new FlaskBlog with the old image and import an export of the posts"
    )]
    DatabaseDowngrade {
        /// The image that the spec names.
        image: String,
        /// The version that has served.
        served: String,
        /// The command that names the image of that version.
        rename: String,
    },
    /// Another series of MySQL, which can't be taken back.
    #[error(
        "image {image} is of another series than MySQL {served}, which has served this data, and the data can't go back \
         afterwards: make a copy of the posts (blog-app export), then allow it: {allow}"
    )]
    UpgradeUnconfirmed {
        /// The image that the spec names.
        image: String,
        /// The version that has served.
        served: String,
        /// The command that allows it.
        allow: String,
    },
    /// An image or data whose MySQL version is unknown.
    #[error(
        "image {image} can't be compared with {served}, which has served this data, and an upgrade can't be undone: export the \
         posts (blog-app export), then allow it: {allow}"
    )]
    VersionUnknown {
        /// The image that the spec names.
        image: String,
        /// The image or version that has served.
        served: String,
        /// The command that allows it.
        allow: String,
    },
    /// The FlaskBlog doesn't have the form that this release knows.
    #[error(
        "failed to parse FlaskBlog {name}: {cause}; its objects stay as they are: run the release of the operator that knows \
         that field, or change it: {edit}"
    )]
    Unparsable {
        /// Its name.
        name: String,
        /// The field and what is wrong with it.
        cause: String,
        /// The command that opens it.
        edit: String,
    },
    /// The object has no namespace, name or uid, which the API server never sends.
    #[error("the FlaskBlog lacks metadata.{0}")]
    Incomplete(&'static str),
}

/// A client error in words that help: the API server's own message where there is one.
fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

impl Error {
    /// The reason for conditions, Events and metrics; always one of [`reasons::ALL`].
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(
                Invalid::NameConflict { .. }
                | Invalid::UnmarkedSecret { .. }
                | Invalid::UnmarkedClaim { .. }
                | Invalid::OwnedClaim { .. },
            ) => reasons::NAME_CONFLICT,
            Self::Invalid(Invalid::UselessClaim { .. }) => reasons::STORAGE_MISMATCH,
            Self::Invalid(Invalid::VolumeDeleting { .. }) => reasons::VOLUME_DELETING,
            Self::Invalid(Invalid::VolumeLost { .. }) => reasons::VOLUME_LOST,
            Self::Invalid(Invalid::DatabaseDowngrade { .. }) => reasons::DATABASE_DOWNGRADE,
            Self::Invalid(Invalid::UpgradeUnconfirmed { .. } | Invalid::VersionUnknown { .. }) => {
                reasons::UPGRADE_UNCONFIRMED
            }
            Self::Panicked(_) => reasons::PANICKED,
            Self::Invalid(Invalid::CredentialsMissing { .. } | Invalid::ExternalSecretMissing { .. }) => {
                reasons::CREDENTIALS_MISSING
            }
            Self::Invalid(Invalid::WaitingForCleanup { .. } | Invalid::BeingDeleted { .. }) => {
                reasons::WAITING_FOR_CLEANUP
            }
            Self::Invalid(Invalid::Incomplete(_) | Invalid::Unparsable { .. }) => reasons::INVALID_SPEC,
            Self::Read { source, .. } | Self::Write { source, .. } => client_reason(source),
            Self::Decode { .. } => reasons::API_ERROR,
            Self::Timeout(_) => reasons::TIMEOUT,
            Self::Certificate { .. } => reasons::CERTIFICATE_FAILED,
        }
    }

    /// Whether the API server refused a write as invalid.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        matches!(self, Self::Write { .. }) && self.reason() == reasons::REJECTED
    }

    /// Whether a write failed since its object isn't what was known of it: changed, made anew, or a stranger's.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        let Self::Write { source, .. } = self else { return false };
        matches!(&**source, kube::Error::Api(status) if status.is_conflict() || status.is_already_exists())
    }

    /// Whether the blog may be as well as before: the API server was out of reach, nothing is known to be wrong.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self.reason(), reasons::API_ERROR | reasons::TIMEOUT)
    }
}

fn client_reason(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Api(status) if status.is_forbidden() => reasons::FORBIDDEN,
        kube::Error::Api(status) if status.code == 422 || status.code == 400 => reasons::REJECTED,
        _ => reasons::API_ERROR,
    }
}
