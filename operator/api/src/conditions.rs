//! Condition types and reasons, each spelled once. `docs/conditions.md` says of each reason what to do.

/// Summary: true only while the replicas of the current generation serve and the database is ready.
pub const READY: &str = "Ready";
/// MySQL accepts connections.
pub const DATABASE_READY: &str = "DatabaseReady";
/// The database's schema is one that the blog's image understands.
pub const SCHEMA_READY: &str = "SchemaReady";
/// At least one replica serves, of whichever generation.
pub const APP_AVAILABLE: &str = "AppAvailable";
/// The operator or Kubernetes is still bringing the blog to what the spec says.
pub const PROGRESSING: &str = "Progressing";
/// Something needs a look: the message says what.
pub const DEGRADED: &str = "Degraded";

/// Only while `spec.suspend` is true.
pub const SUSPENDED: &str = "Suspended";
/// Only while `spec.hibernate` is true, or while the blog wakes.
pub const HIBERNATED: &str = "Hibernated";
/// Only while the volume grows, or where it can't.
pub const STORAGE_RESIZING: &str = "StorageResizing";

/// Only while `spec.monitoring` asks for something.
pub const MONITORED: &str = "Monitored";

/// Only while `spec.database.managed.recommendResources` is true.
pub const RESOURCES_RECOMMENDED: &str = "ResourcesRecommended";

/// The conditions that are there only while their feature is in use.
pub const OF_FEATURES: [&str; 5] =
    [SUSPENDED, HIBERNATED, STORAGE_RESIZING, MONITORED, RESOURCES_RECOMMENDED];

/// Why a condition has its status; PascalCase, as the API conventions ask.
pub mod reasons {
    /// Everything that the spec asks for is in place and serving.
    pub const READY: &str = "Ready";
    /// Replicas of the current generation are being started.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// The replicas are there and serve.
    pub const AVAILABLE: &str = "Available";
    /// No replica serves.
    pub const UNAVAILABLE: &str = "Unavailable";
    /// The blog was asked to have no replica.
    pub const SCALED_TO_ZERO: &str = "ScaledToZero";
    /// MySQL is being started.
    pub const DATABASE_STARTING: &str = "DatabaseStarting";
    /// A replica of the current template passed its schema check.
    pub const MIGRATED: &str = "Migrated";
    /// No replica of the current template has finished `blog-app migrate` yet.
    pub const MIGRATION_PENDING: &str = "MigrationPending";
    /// `blog-app migrate` failed in a pod.
    pub const MIGRATION_FAILED: &str = "MigrationFailed";
    /// The cluster refuses to create a pod: a quota, a limit or a policy.
    pub const PODS_REFUSED: &str = "PodsRefused";
    /// A pod can't be started or keeps failing.
    pub const POD_FAILING: &str = "PodFailing";
    /// Nothing is wrong.
    pub const HEALTHY: &str = "Healthy";
    /// Nothing is left to do.
    pub const SETTLED: &str = "Settled";
    /// An object of that name belongs to somebody else and is left alone.
    pub const NAME_CONFLICT: &str = "NameConflict";
    /// The database volume exists but the Secret with its passwords is gone.
    pub const CREDENTIALS_MISSING: &str = "CredentialsMissing";
    /// The PersistentVolumeClaim with the data is being deleted.
    pub const VOLUME_DELETING: &str = "VolumeDeleting";
    /// The volume that holds the data is gone, or another one has taken its place.
    pub const VOLUME_LOST: &str = "VolumeLost";
    /// The credential container fails to bring into MySQL what the Secrets hold.
    pub const CREDENTIALS_NOT_SYNCED: &str = "CredentialsNotSynced";
    /// A replica can't read the keys that sign sessions.
    pub const SESSION_KEYS_UNREADABLE: &str = "SessionKeysUnreadable";
    /// A claim without a volume asks for another storage class or size than the spec.
    pub const STORAGE_MISMATCH: &str = "StorageMismatch";
    /// Objects of an earlier blog of this name are still being deleted.
    pub const WAITING_FOR_CLEANUP: &str = "WaitingForCleanup";
    /// The spec says something that can't be done; the message says what to write instead.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// The operator's service account lacks a permission.
    pub const FORBIDDEN: &str = "Forbidden";
    /// The API server refused an object as invalid.
    pub const REJECTED: &str = "Rejected";
    /// The blog sleeps as asked: no replica, no database, the data kept.
    pub const HIBERNATED: &str = "Hibernated";
    /// The replicas are ending; the database goes after them.
    pub const HIBERNATING: &str = "Hibernating";
    /// The database is being started; the replicas come after it.
    pub const WAKING: &str = "Waking";
    /// The operator leaves the blog alone, as asked.
    pub const SUSPENDED: &str = "Suspended";
    /// A restart waits for a person's approval, under `rolloutPolicy: Manual`.
    pub const APPROVAL_PENDING: &str = "ApprovalPending";
    /// The volume is growing.
    pub const RESIZING: &str = "Resizing";
    /// The cluster refused to let the volume grow; it stays as it is.
    pub const EXPANSION_REFUSED: &str = "ExpansionRefused";
    /// No replica has reached the external database yet.
    pub const DATABASE_UNREACHABLE: &str = "DatabaseUnreachable";
    /// A replica can't read or write its database.
    pub const DATABASE_UNUSABLE: &str = "DatabaseUnusable";
    /// The operator can't reach a replica to ask for its database.
    pub const REPLICA_UNREACHABLE: &str = "ReplicaUnreachable";
    /// The image's MySQL is older than the one that wrote the data.
    pub const DATABASE_DOWNGRADE: &str = "DatabaseDowngrade";
    /// The image's MySQL is of a newer series, and nobody has said that a copy of the data exists.
    pub const UPGRADE_UNCONFIRMED: &str = "UpgradeUnconfirmed";
    /// Another manager keeps changing an object back; it is written ever more rarely.
    pub const CONTESTED: &str = "Contested";
    /// A defect in the operator; other blogs are unharmed, and it is tried again.
    pub const PANICKED: &str = "Panicked";
    /// The API server could not be reached, or answered with a passing error; it is tried again.
    pub const API_ERROR: &str = "ApiError";
    /// A reconcile took longer than its limit; it is tried again.
    pub const TIMEOUT: &str = "Timeout";
    /// No certificate could be made for the database.
    pub const CERTIFICATE_FAILED: &str = "CertificateFailed";
    /// What the spec asks for of monitoring is there.
    pub const MONITORED: &str = "Monitored";
    /// The cluster lacks the Prometheus operator's resource definitions.
    pub const MONITORING_UNAVAILABLE: &str = "MonitoringUnavailable";
    /// It is known what MySQL would need.
    pub const RECOMMENDED: &str = "Recommended";
    /// It isn't known yet what MySQL would need.
    pub const RECOMMENDATION_PENDING: &str = "RecommendationPending";
    /// The cluster lacks the vertical autoscaler's resource definition.
    pub const RECOMMENDER_UNAVAILABLE: &str = "RecommenderUnavailable";

    /// Every reason, for the test that finds each one in the documentation.
    pub const ALL: &[&str] = &[
        READY,
        ROLLING_OUT,
        AVAILABLE,
        UNAVAILABLE,
        SCALED_TO_ZERO,
        DATABASE_STARTING,
        MIGRATED,
        MIGRATION_PENDING,
        MIGRATION_FAILED,
        POD_FAILING,
        PODS_REFUSED,
        HEALTHY,
        SETTLED,
        NAME_CONFLICT,
        CREDENTIALS_MISSING,
        CREDENTIALS_NOT_SYNCED,
        SESSION_KEYS_UNREADABLE,
        STORAGE_MISMATCH,
        VOLUME_DELETING,
        VOLUME_LOST,
        WAITING_FOR_CLEANUP,
        INVALID_SPEC,
        FORBIDDEN,
        REJECTED,
        API_ERROR,
        TIMEOUT,
        CERTIFICATE_FAILED,
        HIBERNATED,
        HIBERNATING,
        WAKING,
        SUSPENDED,
        APPROVAL_PENDING,
        RESIZING,
        EXPANSION_REFUSED,
        DATABASE_UNREACHABLE,
        DATABASE_UNUSABLE,
        REPLICA_UNREACHABLE,
        DATABASE_DOWNGRADE,
        UPGRADE_UNCONFIRMED,
        CONTESTED,
        PANICKED,
        MONITORED,
        MONITORING_UNAVAILABLE,
        RECOMMENDED,
        RECOMMENDATION_PENDING,
        RECOMMENDER_UNAVAILABLE,
    ];
}
