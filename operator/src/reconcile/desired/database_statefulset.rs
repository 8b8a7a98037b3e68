use flaskblog_api::{
    Child,
    children::{Component, DATA_VOLUME_KEY, labels},
};
use k8s_openapi::{
    api::{
        apps::v1::{
            StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
            StatefulSetUpdateStrategy,
        },
        core::v1::{
            Container, ContainerPort, EmptyDirVolumeSource, ExecAction, PersistentVolumeClaim,
            PersistentVolumeClaimSpec, PodSpec, PodTemplateSpec, Probe, Volume, VolumeMount,
            VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

use super::{
    credential_sync,
    mysql_settings::{DEFAULT_MEMORY, arguments},
    pods::{
        MYSQL_PORT, env, env_from_secret, pod_selector, read_only, resources, restricted, restricted_pod,
        secret_volume, template_metadata,
    },
};
use crate::model::{
    containers::MYSQL_CONTAINER,
    plan::{ManagedPlan, Plan},
};

const SECRETS: &str = "/etc/mysql-credentials";
/// MySQL's certificate and its key.
pub(super) const CERTIFICATES: &str = "/etc/mysql-tls";
pub(super) const CERTIFICATE_VOLUME: &str = "certificates";
/// Directory of scripts that end the image's first initialisation.
const INIT_SCRIPTS: &str = "/docker-entrypoint-initdb.d";
/// uid and gid of `mysql` in the official image.
const USER: i64 = 999;
/// Time for InnoDB's flush at shutdown. A kill costs a crash recovery, not data.
const TERMINATION_SECONDS: i64 = 120;
/// Mount path of the whole volume. MySQL's data directory is a directory in it.
const VOLUME: &str = "/var/lib/flaskblog";
/// The script of the init container.
///
/// The image initialises an empty directory in several steps, and treats any non-empty directory as initialised. An interrupted
/// first start (out of memory, a lost node) would leave a directory that never works. So a marker lies beside the directory
/// until the last step removes it. If the marker is found, MySQL has never served, and the initialisation starts over. A
/// directory without the marker is never touched.
///
/// The account gets permission for dual passwords, which a rotation without interruption needs. The credential-sync
/// container grants it too, but some seconds later, and a rotation that is requested at once needs it from the start.
///
/// The Secret names the volume that has served. An empty volume is not initialised then, since it replaced the one with the
/// data.
const PREPARE: &str = "set -eu
cd /var/lib/flaskblog
if [ -e /etc/mysql-volume/data-volume ] && { [ -e mysql.initialising ] || [ -z \"$(ls -A mysql 2>/dev/null)\" ]; }; then
  echo \"[ERROR] This volume is empty, but the data of this blog is on volume $(cat /etc/mysql-volume/data-volume).\"
  exit 1
fi
if [ -e mysql.initialising ]; then
  echo 'The first initialisation was interrupted: starting it over.'
  rm -rf mysql
fi
mkdir -p mysql
if [ -z \"$(ls -A mysql)\" ]; then : >mysql.initialising; fi
echo \"GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO '$MYSQL_USER'@'%';\" >/docker-entrypoint-initdb.d/rotation.sql
echo 'rm -f /var/lib/flaskblog/mysql.initialising' >/docker-entrypoint-initdb.d/zz-initialised.sh
";
/// Probe failures before a restart: 30 minutes.
///
/// Crash recovery of a large redo log may take long, and a liveness kill would start it over.
const STARTUP_FAILURES: i32 = 900;

/// MySQL: one pod with one volume. Several primaries caused data loss with comparable operators.
pub(super) fn database_statefulset(plan: &Plan) -> Option<StatefulSet> {
    let database = plan.database.managed()?;
    Some(StatefulSet {
        spec: Some(StatefulSetSpec {
            replicas: Some(database.replicas),
            service_name: Some(Child::DatabaseService.name(&plan.id.name)),
            selector: pod_selector(plan, Component::Database),
            revision_history_limit: Some(3),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".into()),
                ..StatefulSetUpdateStrategy::default()
            }),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                // Never with the StatefulSet, which may be deleted by mistake and is recreated. Under the policy Delete the
                // FlaskBlog itself owns the PVC, see `actions/owner_references.rs`.
                when_deleted: Some("Retain".into()),
                when_scaled: Some("Retain".into()),
            }),
            template: PodTemplateSpec {
                metadata: Some(template_metadata(plan, Component::Database)),
                spec: Some(pod_spec(plan, database)),
            },
            volume_claim_templates: Some(vec![claim(plan, database)]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    })
}

fn pod_spec(plan: &Plan, database: &ManagedPlan) -> PodSpec {
    let secret = |role: Child| role.name(&plan.id.name);
    PodSpec {
        init_containers: Some(vec![prepare_container(plan, database)]),
        // MySQL comes first, since kubectl defaults to the first container.
        containers: vec![mysql_container(plan, database), credential_sync::container(database)],
        volumes: Some(vec![
            secret_volume("credentials", secret(Child::DatabaseSecret), &["root-password", "password"], None),
            secret_volume(
                CERTIFICATE_VOLUME,
                secret(Child::DatabaseCertificates),
                &["ca.crt", "tls.crt", "tls.key"],
                None,
            ),
            credential_sync::volume(plan),
            secret_volume("volume-record", secret(Child::DatabaseSecret), &[DATA_VOLUME_KEY], Some(true)),
            scratch("tmp"),
            scratch("run"),
            scratch("initdb"),
        ]),
        ..restricted_pod(plan, USER, TERMINATION_SECONDS)
    }
}

fn prepare_container(plan: &Plan, database: &ManagedPlan) -> Container {
    let secret = Child::DatabaseSecret.name(&plan.id.name);
    Container {
        name: "prepare".into(),
        env: Some(vec![env_from_secret("MYSQL_USER", &secret, "username")]),
        command: Some(["bash", "-c", PREPARE].map(String::from).to_vec()),
        volume_mounts: Some(vec![
            mount("data", VOLUME, None),
            mount("initdb", INIT_SCRIPTS, None),
            read_only("volume-record", "/etc/mysql-volume"),
        ]),
        ..database_container(database)
    }
}

/// The common parts of MySQL's container and its init container.
fn database_container(database: &ManagedPlan) -> Container {
    Container {
        image: Some(database.spec.image.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        resources: Some(resources(
            database.spec.resources.as_ref(),
            &[("cpu", "100m"), ("memory", "512Mi")],
            &[("memory", DEFAULT_MEMORY)],
        )),
        security_context: Some(restricted()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

fn mysql_container(plan: &Plan, database: &ManagedPlan) -> Container {
    let secret = Child::DatabaseSecret.name(&plan.id.name);
    Container {
        name: MYSQL_CONTAINER.into(),
        args: Some(arguments(database)),
        env: Some(vec![
            env("MYSQL_ROOT_PASSWORD_FILE", format!("{SECRETS}/root-password")),
            // root is for administrators inside the pod and is never reachable over the network.
            env("MYSQL_ROOT_HOST", "localhost"),
            env_from_secret("MYSQL_DATABASE", &secret, "database"),
            env_from_secret("MYSQL_USER", &secret, "username"),
            env("MYSQL_PASSWORD_FILE", format!("{SECRETS}/password")),
        ]),
        ports: Some(vec![ContainerPort {
            name: Some("mysql".into()),
            container_port: MYSQL_PORT,
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        volume_mounts: Some(vec![
            // A subdirectory: a fresh ext4 volume holds lost+found, and MySQL requires an empty data directory.
            mount("data", "/var/lib/mysql", Some("mysql")),
            // Only for the last step of the initialisation.
            mount("data", VOLUME, None),
            mount("initdb", INIT_SCRIPTS, None),
            mount("credentials", SECRETS, None),
            mount(CERTIFICATE_VOLUME, CERTIFICATES, None),
            mount("tmp", "/tmp", None),
            mount("run", "/var/run/mysqld", None),
        ]),
        startup_probe: Some(ping(2, STARTUP_FAILURES)),
        readiness_probe: Some(ping(5, 2)),
        liveness_probe: Some(ping(10, 6)),
        ..database_container(database)
    }
}

/// `mysqladmin ping` over TCP, which needs no password.
///
/// It succeeds as soon as the server answers. The image's temporary server of the first initialisation listens on no port, so
/// it never counts as ready.
fn ping(period_seconds: i32, failures: i32) -> Probe {
    let command = ["mysqladmin", "ping", "--protocol=tcp", "--host=127.0.0.1", "--user=probe", "--silent"];
    Probe {
        exec: Some(ExecAction { command: Some(command.map(String::from).to_vec()) }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn claim(plan: &Plan, database: &ManagedPlan) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".into()),
            labels: Some(labels(&plan.id.name, Component::Database)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: database.spec.storage.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(database.template_size.clone()))].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

fn scratch(name: &str) -> Volume {
    Volume { name: name.into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

fn mount(name: &str, path: &str, sub_path: Option<&str>) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        sub_path: sub_path.map(Into::into),
        ..VolumeMount::default()
    }
}
