//! Condition types and reasons, each defined once. `docs/conditions.md` documents the remedy for each reason.

/// Summary: true while the current generation's replicas and database are ready.
pub const READY: &str = "Ready";
/// MySQL accepts connections.
pub const DATABASE_READY: &str = "DatabaseReady";
/// The blog's image supports the database's schema.
pub const SCHEMA_READY: &str = "SchemaReady";
/// At least one replica serves, of any generation.
pub const APP_AVAILABLE: &str = "AppAvailable";
/// A change is still rolling out.
pub const PROGRESSING: &str = "Progressing";
/// The blog needs attention. The message names the cause.
pub const DEGRADED: &str = "Degraded";

/// Exists only while `spec.suspend` is true.
pub const SUSPENDED: &str = "Suspended";
/// Exists only while `spec.hibernate` is true or the blog resumes.
pub const HIBERNATED: &str = "Hibernated";
/// Exists only while the volume is expanding or its expansion is refused.
pub const STORAGE_RESIZING: &str = "StorageResizing";

/// Exists only while `spec.monitoring` enables a part.
pub const MONITORED: &str = "Monitored";

/// Exists only while `spec.database.managed.recommendResources` is true.
pub const RESOURCES_RECOMMENDED: &str = "ResourcesRecommended";

/// Conditions that exist only while their feature is in use.
pub const OF_FEATURES: [&str; 5] =
    [SUSPENDED, HIBERNATED, STORAGE_RESIZING, MONITORED, RESOURCES_RECOMMENDED];

/// Reasons of a condition's status, in PascalCase as the API conventions require.
pub mod reasons {
    /// Everything in the spec is in place and serves.
    pub const READY: &str = "Ready";
    /// Replicas of the current generation are starting.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// The replicas exist and serve.
    pub const AVAILABLE: &str = "Available";
    /// No replica serves.
    pub const UNAVAILABLE: &str = "Unavailable";
    /// The spec sets no replicas.
    pub const SCALED_TO_ZERO: &str = "ScaledToZero";
    /// MySQL is starting.
    pub const DATABASE_STARTING: &str = "DatabaseStarting";
    /// A replica of the current template passed its schema check.
    pub const MIGRATED: &str = "Migrated";
    /// No replica of the current template has finished `blog-app migrate` yet.
    pub const MIGRATION_PENDING: &str = "MigrationPending";
    /// `blog-app migrate` failed in a pod.
    pub const MIGRATION_FAILED: &str = "MigrationFailed";
    /// A quota, a limit or a policy refuses a pod.
    pub const PODS_REFUSED: &str = "PodsRefused";
    /// A pod can't be started or keeps failing.
    pub const POD_FAILING: &str = "PodFailing";
    /// No failure is known.
    pub const HEALTHY: &str = "Healthy";
    /// No change is pending.
    pub const RECONCILED: &str = "Reconciled";
    /// An object of that name is unmanaged and is left alone.
    pub const NAME_CONFLICT: &str = "NameConflict";
    /// The database volume exists but the Secret with its passwords is missing.
    pub const CREDENTIALS_MISSING: &str = "CredentialsMissing";
    /// The PVC with the data is being deleted.
    pub const VOLUME_DELETING: &str = "VolumeDeleting";
    /// The volume with the data is gone or was replaced.
    pub const VOLUME_LOST: &str = "VolumeLost";
    /// The credential container fails to apply the Secret's credentials to MySQL.
    pub const CREDENTIALS_NOT_SYNCED: &str = "CredentialsNotSynced";
    /// A replica can't read the session keys.
    pub const SESSION_KEYS_UNREADABLE: &str = "SessionKeysUnreadable";
    /// An unbound PVC differs from the spec in storage class or size.
    pub const STORAGE_MISMATCH: &str = "StorageMismatch";
    /// Objects of an earlier blog of this name are still being deleted.
    pub const WAITING_FOR_CLEANUP: &str = "WaitingForCleanup";
    /// The spec can't be applied. The message names the remedy.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// The operator's service account lacks a permission.
    pub const FORBIDDEN: &str = "Forbidden";
    /// The API server refused an object as invalid.
    pub const REJECTED: &str = "Rejected";
    /// The blog is hibernated: no replica, no database, the data kept.
    pub const HIBERNATED: &str = "Hibernated";
    /// The replicas are terminating, and the database stops after them.
    pub const HIBERNATING: &str = "Hibernating";
    /// The database is starting, and the replicas start after it.
    pub const RESUMING: &str = "Resuming";
    /// Reconciliation is paused by the spec.
    pub const SUSPENDED: &str = "Suspended";
    /// A restart waits for a user's approval, under `rolloutPolicy: Manual`.
    pub const APPROVAL_PENDING: &str = "ApprovalPending";
    /// The volume is expanding.
    pub const RESIZING: &str = "Resizing";
    /// The cluster refused to expand the volume, which keeps its size.
    pub const EXPANSION_REFUSED: &str = "ExpansionRefused";
    /// No replica has reached the external database yet.
    pub const DATABASE_UNREACHABLE: &str = "DatabaseUnreachable";
    /// A replica can't read or write its database.
    pub const DATABASE_UNUSABLE: &str = "DatabaseUnusable";
    /// The operator can't request a replica's report on its database.
    pub const REPLICA_UNREACHABLE: &str = "ReplicaUnreachable";
    /// The image's MySQL is older than the one that wrote the data.
    pub const DATABASE_DOWNGRADE: &str = "DatabaseDowngrade";
    /// The image's MySQL is of a newer series.
    ///
    /// The user hasn't confirmed a copy of the data.
    pub const UPGRADE_UNCONFIRMED: &str = "UpgradeUnconfirmed";
    /// Another manager keeps reverting an object. The operator delays its writes.
    pub const CONTESTED: &str = "Contested";
    /// A defect in the operator. Other blogs are unaffected, and the reconcile is retried.
    pub const PANICKED: &str = "Panicked";
    /// The API server is unreachable or returned a transient error. The reconcile is retried.
    pub const API_ERROR: &str = "ApiError";
    /// A reconcile timed out and is retried.
    pub const TIMEOUT: &str = "Timeout";
    /// Generating the database's certificate failed.
    pub const CERTIFICATE_FAILED: &str = "CertificateFailed";
    /// The monitoring objects of the spec exist.
    pub const MONITORED: &str = "Monitored";
    /// The cluster lacks the Prometheus operator's CRDs.
    pub const MONITORING_UNAVAILABLE: &str = "MonitoringUnavailable";
    /// The recommender has reported MySQL's resources.
    pub const RECOMMENDED: &str = "Recommended";
    /// The recommender hasn't reported MySQL's resources yet.
    pub const RECOMMENDATION_PENDING: &str = "RecommendationPending";
    /// The cluster lacks the vertical autoscaler's CRD.
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
        RECONCILED,
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
        RESUMING,
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
