//! Errors of a reconcile: each names the operation and the object, and maps to one reason.

use flaskblog_api::conditions::reasons;

/// A failed reconcile, reported in status, Event and metric label.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The blog can't be reconciled until a user changes an object.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Reading an object failed.
    #[error("failed to read {kind} {name}: {}", explain(source))]
    Read {
        /// Kind of the object.
        kind: String,
        /// Its name, or the selector of a list.
        name: String,
        /// The client's error.
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
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object from the API server doesn't match its kind's schema.
    #[error("failed to understand {kind} {name}: {source}")]
    Decode {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Serde's error.
        #[source]
        source: serde_json::Error,
    },
    /// Generating a certificate failed.
    #[error("failed to make a certificate for Secret {name}: {source}")]
    Certificate {
        /// Its name.
        name: String,
        /// The generator's error.
        #[source]
        source: rcgen::Error,
    },
    /// A defect: the code of a reconcile panicked.
    #[error("the operator has a defect that this blog's state brings out ({0}); the blog was left as it is")]
    Panicked(String),
    /// The whole reconcile timed out.
    #[error("the reconcile took longer than {0} seconds and was given up; it is tried again")]
    Timeout(u64),
}

/// A request that the operator refuses, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// An object with a child's name isn't this blog's.
    #[error(
        "{kind} {name} exists and isn't this blog's, so it was left alone: rename the FlaskBlog, or delete the object if nothing \
         needs it: {delete}"
    )]
    NameConflict {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// The command that deletes it.
        delete: String,
    },
    /// A Secret with a child's name lacks the operator's labels.
    ///
    /// It is unmanaged, or a user restored it from a backup.
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
    /// A PVC of the data's name lacks the operator's labels.
    ///
    /// It is unmanaged, or a user restored it from a backup.
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
    /// The garbage collector would delete the PVC with another owner.
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
    /// An unbound PVC that differs from the spec.
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
    /// The PVC is deleted as soon as MySQL's pod ends.
    #[error(
        "PersistentVolumeClaim {claim} is being deleted and its volume {volume} goes with it when no pod uses it; until then \
         the operator neither restarts nor scales MySQL. A deletion can't be undone, but the data can be \
         kept: {keep}"
    )]
    VolumeDeleting {
        /// Name of the PVC.
        claim: String,
        /// Name of its volume.
        volume: String,
        /// The commands that keep the volume.
        keep: String,
    },
    /// The volume with the data is no longer bound to the PVC.
    #[error(
        "volume {volume} holds this blog's data, but {found}, so MySQL is not started on an empty volume. If the volume still \
         exists (kubectl get pv {volume}), bind it again: {bind}. To start with an empty database instead: {discard}"
    )]
    VolumeLost {
        /// The volume that held the data.
        volume: String,
        /// The current state of the PVC or volume.
        found: String,
        /// The commands that bind the volume.
        bind: String,
        /// The command that discards the data.
        discard: String,
    },
    /// The passwords of existing data are missing.
    #[error(
        "Secret {secret} is gone while its data volume {claim} exists, so no new passwords are generated. Restore it from a copy; \
         or from MySQL's pod while that runs: {restore}; or start with an empty database: {discard}"
    )]
    CredentialsMissing {
        /// Name of the Secret.
        secret: String,
        /// The volume's PVC.
        claim: String,
        /// The command that restores the Secret from the pod.
        restore: String,
        /// The command that discards the data.
        discard: String,
    },
    /// An object of an earlier blog isn't garbage-collected yet.
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
    /// An object of this blog is being deleted and has finalizers.
    #[error("{kind} {name} is being deleted{finalizers}, and is created again when it is gone. {advice}")]
    BeingDeleted {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// Its finalizers, or an empty string.
        finalizers: String,
        /// The next command.
        advice: String,
    },
    /// The referenced Secret of an external database doesn't exist.
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
    /// The image has an older MySQL than the data.
    #[error(
        "image {image} is older than MySQL {served}, which has served this data; MySQL can't go back: name the image of \
         {served} or a newer one: {rename}; or make a new FlaskBlog with the old image and import an export of the posts"
    )]
    DatabaseDowngrade {
        /// The image that the spec names.
        image: String,
        /// The MySQL version of the data.
        served: String,
        /// The command that sets the image of that version.
        rename: String,
    },
    /// The image has another MySQL series, and the upgrade is irreversible.
    #[error(
        "image {image} is of another series than MySQL {served}, which has served this data, and the data can't go back \
         afterwards: make a copy of the posts (blog-app export), then allow it: {allow}"
    )]
    UpgradeUnconfirmed {
        /// The image that the spec names.
        image: String,
        /// The MySQL version of the data.
        served: String,
        /// The command that allows it.
        allow: String,
    },
    /// The MySQL version of the image or the data is unknown.
    #[error(
        "image {image} can't be compared with {served}, which has served this data, and an upgrade can't be undone: export the \
         posts (blog-app export), then allow it: {allow}"
    )]
    VersionUnknown {
        /// The image that the spec names.
        image: String,
        /// The image or MySQL version of the data.
        served: String,
        /// The command that allows it.
        allow: String,
    },
    /// The FlaskBlog doesn't match the schema of this release.
    #[error(
        "failed to parse FlaskBlog {name}: {cause}; its objects stay as they are: run the release of the operator that knows \
         that field, or change it: {edit}"
    )]
    Unparsable {
        /// Its name.
        name: String,
        /// The field and its error.
        cause: String,
        /// The command that opens it in an editor.
        edit: String,
    },
    /// The object has no namespace, name or uid.
    ///
    /// The API server never sends such an object.
    #[error("the FlaskBlog lacks metadata.{0}")]
    Incomplete(&'static str),
}

/// The API server's own message, or the client's error without one.
fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

impl Error {
    /// The reason for conditions, Events and metrics, always one of [`reasons::ALL`].
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

    /// Whether a write failed because the cached object is stale.
    ///
    /// The object was changed, recreated, or is unmanaged.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        let Self::Write { source, .. } = self else { return false };
        matches!(&**source, kube::Error::Api(status) if status.is_conflict() || status.is_already_exists())
    }

    /// Whether the error is transient.
    ///
    /// The API server was unreachable, and the blog may be healthy.
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
