//! The API server: its setup before measuring, and its count of requests.

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use flaskblog_api::{FlaskBlog, OwnedKind};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::{
        core::v1::Namespace,
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, CustomResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use operator::k8s::discovery::is_not_served;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

/// The service account of the operator and of the plain client, with the chart's permissions.
const OPERATOR_USER: &str = "system:serviceaccount:flaskblog-system:operator";
/// Namespace of the Lease.
pub const LEASE_NAMESPACE: &str = "flaskblog-system";
/// Parallel requests of the setup, which isn't measured.
const PARALLEL: usize = 16;
const PAGE: u32 = 500;

/// Requests by verb and resource since the API server's start.
pub type Requests = BTreeMap<(String, String), f64>;

/// The server, with a client of the administrator and one of the operator.
#[derive(Clone)]
pub struct Cluster {
    pub admin: Client,
    /// A plain client with the operator's permissions.
    pub plain: Client,
}

impl Cluster {
    /// Connects and installs the CRD and the chart's permissions.
    ///
    /// Also writes the operator's kubeconfig.
    pub async fn prepare(kubeconfig: &Path, of_operator: &Path, rules: &Path) -> Result<Self> {
        let read = || Kubeconfig::read_from(kubeconfig).context("failed to read API_TEST_KUBECONFIG");
        let admin = client(read()?).await?;
        let mut operators = read()?;
        for user in operators.auth_infos.iter_mut().filter_map(|user| user.auth_info.as_mut()) {
            user.impersonate = Some(OPERATOR_USER.into());
        }
        let text = serde_yaml::to_string(&operators).context("failed to serialize the kubeconfig")?;
        fs::write(of_operator, text).context("failed to write the operator's kubeconfig")?;
        let cluster = Self { admin, plain: client(operators).await? };
        cluster.install(rules).await?;
        cluster.namespace(LEASE_NAMESPACE).await?;
        Ok(cluster)
    }

    async fn install(&self, rules: &Path) -> Result<()> {
        let params = PatchParams::apply("bench").force();
        let crds: Api<CustomResourceDefinition> = Api::all(self.admin.clone());
        let crd = Patch::Apply(FlaskBlog::crd());
        crds.patch(FlaskBlog::crd_name(), &params, &crd).await.context("failed to install the CRD")?;
        let text =
            fs::read_to_string(rules).with_context(|| format!("failed to read {}", rules.display()))?;
        let mut rules: Vec<Value> =
            serde_yaml::from_str(&text).context("failed to read the chart's rules")?;
        // The chart has them in a Role of the operator's namespace.
        let lease = ["get", "create", "update"];
        rules.push(json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": lease}));
        let role = json!({"metadata": {"name": "operator"}, "rules": rules});
        let binding = json!({
            "metadata": {"name": "operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operator"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": OPERATOR_USER}],
        });
        let role: ClusterRole = serde_json::from_value(role).context("the chart's rules are no rules")?;
        let binding: ClusterRoleBinding = serde_json::from_value(binding).context("no role binding")?;
        let roles: Api<ClusterRole> = Api::all(self.admin.clone());
        roles.patch("operator", &params, &Patch::Apply(role)).await.context("failed to grant rights")?;
        let bindings: Api<ClusterRoleBinding> = Api::all(self.admin.clone());
        bindings
            .patch("operator", &params, &Patch::Apply(binding))
            .await
            .context("failed to grant rights")?;
        self.wait_for_crd().await
    }

    async fn wait_for_crd(&self) -> Result<()> {
        let blogs: Api<FlaskBlog> = Api::all(self.plain.clone());
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Err(error) = blogs.list(&ListParams::default().limit(1)).await {
            if Instant::now() > deadline {
                bail!("the CRD isn't served after 30 s: {error}");
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    pub async fn namespace(&self, name: &str) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.admin.clone());
        let namespace =
            serde_json::from_value(json!({"metadata": {"name": name}})).context("no namespace")?;
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .context("failed to create a namespace")?;
        Ok(())
    }

    /// Creates a namespace with that many blogs.
    ///
    /// The Services are of type ClusterIP, as there are only 2,768 node ports.
    pub async fn blogs(&self, namespace: &str, count: usize) -> Result<Vec<FlaskBlog>> {
        self.namespace(namespace).await?;
        let api: Api<FlaskBlog> = Api::namespaced(self.admin.clone(), namespace);
        stream::iter(0..count)
            .map(|number| {
                let api = api.clone();
                async move {
                    let blog = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog",
                        "metadata": {"name": format!("blog-{number}")}, "spec": {"service": {"type": "ClusterIP"}}});
                    let blog = serde_json::from_value(blog).context("no FlaskBlog")?;
                    api.create(&PostParams::default(), &blog).await.context("failed to create a FlaskBlog")
                }
            })
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await
    }

    /// Creates objects that the operator doesn't use: Secrets and ConfigMaps of ten KiB each.
    pub async fn unrelated(&self, namespace: &str, count: usize) -> Result<()> {
        stream::iter(0..count * 2)
            .map(|number| {
                let kind = if number % 2 == 0 { "Secret" } else { "ConfigMap" };
                self.unrelated_object(namespace, kind, number)
            })
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await
    }

    async fn unrelated_object(&self, namespace: &str, kind: &'static str, number: usize) -> Result<()> {
        let gvk = kube::core::GroupVersionKind::gvk("", "v1", kind);
        let resource = kube::core::ApiResource::from_gvk(&gvk);
        let api: Api<DynamicObject> = Api::namespaced_with(self.admin.clone(), namespace, &resource);
        let field = if kind == "Secret" { "stringData" } else { "data" };
        let object = DynamicObject::new(&format!("unrelated-{number}"), &resource)
            .data(json!({field: {"text": "x".repeat(10 * 1024)}}));
        api.create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("failed to create a {kind}"))?;
        Ok(())
    }

    /// Lists every object of a kind in a namespace.
    pub async fn list(&self, namespace: &str, kind: OwnedKind) -> Result<Vec<DynamicObject>> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.admin.clone(), namespace, &kind.api_resource());
        let mut items = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = match api.list(&params).await {
                Err(error) if kind.may_be_missing() && is_not_served(&error) => {
                    return Ok(items);
                }
                page => page.with_context(|| format!("failed to list {kind:?}"))?,
            };
            items.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(items),
            }
        }
    }

    /// Reads the API server's request metrics; its own requests are included.
    pub async fn requests(&self) -> Result<Requests> {
        let request = http::Request::get("/metrics").body(Vec::new()).context("no request")?;
        let text =
            self.admin.request_text(request).await.context("failed to read the API server's metrics")?;
        let mut requests = Requests::new();
        for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let (Some(verb), Some(resource)) = (label(line, "verb"), label(line, "resource")) else {
                continue;
            };
            let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0);
            *requests.entry((verb, resource)).or_default() += value;
        }
        Ok(requests)
    }
}

fn label(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!("{name}=\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// The difference of two counts, without unchanged entries.
pub fn since(before: &Requests, after: &Requests) -> Requests {
    let mut difference = after.clone();
    for (key, value) in before {
        *difference.entry(key.clone()).or_default() -= value;
    }
    difference.retain(|_, value| *value > 0.0);
    difference
}

/// Writes that the operator may have caused.
///
/// Leases are left out, which every leader renews all the time. So are the Endpoints of the API server's own Service, which
/// it writes every few seconds; the operator has no permission for those.
pub fn writes(requests: &Requests) -> Requests {
    let kept = |(verb, resource): &(String, String)| {
        let reading = ["GET", "LIST", "WATCH", "CONNECT"].contains(&verb.as_str());
        !reading && !["leases", "endpoints", "endpointslices"].contains(&resource.as_str())
    };
    requests.iter().filter(|(key, _)| kept(key)).map(|(key, value)| (key.clone(), *value)).collect()
}

/// Reads of single objects and lists.
pub fn reads(requests: &Requests) -> f64 {
    let read = |(verb, resource): &(String, String)| {
        ["GET", "LIST"].contains(&verb.as_str()) && !resource.is_empty() && resource != "leases"
    };
    requests.iter().filter(|(key, _)| read(key)).map(|(_, value)| value).sum()
}

/// A path from the environment, which the script has set.
pub fn path(name: &str) -> Result<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .with_context(|| format!("{name} is not set: run make bench-operator"))
}

async fn client(kubeconfig: Kubeconfig) -> Result<Client> {
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    Client::try_from(config.context("the kubeconfig is of no use")?).context("failed to make a client")
}
