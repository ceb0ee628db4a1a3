//! Builds the parts of a daemon from its config.
//!
//! Steps that can fail come first ([`Wiring::prepare`]) and change nothing that runs, so that a new config takes effect completely or not at all.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(super) use super::rules::{key, keys};
use super::{
    descriptors,
    files::{self, AccountFiles, Callers, Files},
    rules,
};
use crate::{
    account::{self, Account, Health, QueueSettings, TokenKeeper},
    budget::{Budget, BudgetOwner, Witness, origin},
    calltools::{self, Client, Endpoint, HttpSettings, HttpTransport, Token, Transport},
    clock::Clock,
    cluster::{
        engine::{Address, RedisEngine},
        guest::Guest,
        member::Member,
        node::{Membership, Node, Settings},
        sharer::Sharer,
        task::Task,
    },
    config::{self, Config},
    decision::{board::Board, reservations::Reservations},
    metrics::Metrics,
    model::{known::Known, names::Names},
    process::{
        authorities::{MachineAuthorities, Trust},
        heartbeat::Heartbeats,
    },
    server::{AccountHandle, Deps, Limits, check::Reach, reload_request::ReloadRequest},
    state::{State, journal, store::ConfiguredAccount},
};

/// How many requests may wait for an account's task: those of a second from a busy router. Others are answered from the board.
const ASKS: usize = 64;

/// What all accounts and configs of a process share.
#[derive(Debug)]
pub(super) struct Wiring {
    pub clock: Arc<dyn Clock>,
    pub board: Arc<Board>,
    pub metrics: Arc<Metrics>,
    pub reservations: Arc<Reservations>,
    pub state: Arc<State>,
    pub heartbeats: Heartbeats,
    pub stop: CancellationToken,
    /// Where the server sends reload requests.
    pub reloads: mpsc::Sender<ReloadRequest>,
    /// This process as a node of a cluster; `None` without one.
    pub node: Option<Arc<Node>>,
}

/// An account that is ready to start.
#[derive(Debug)]
pub(super) struct Prepared {
    pub handle: AccountHandle,
    pub config: Arc<config::Account>,
    pub owner: BudgetOwner,
    pub client: Client,
    transport: Arc<HttpTransport>,
    /// The token that was read.
    pub secret: Token,
    /// Stores the token, and reads it again.
    pub token: Arc<TokenKeeper>,
    names: watch::Sender<Arc<Names>>,
    health: watch::Sender<Health>,
    asks: mpsc::Receiver<account::Ask>,
    /// The task's place in the cluster; `None` without one, or if its task runs already.
    cluster: Option<Membership>,
    /// Whose log has the account's requests; `None` without a cluster.
    pub counter: Option<Arc<Member>>,
    /// The task of a budget that this account is the first to share.
    pub budget_task: Option<Task>,
}

/// An account's place in the cluster.
struct Place {
    budget: Arc<Budget>,
    member: Option<Arc<Member>>,
    membership: Option<Membership>,
    counter: Option<Arc<Member>>,
    budget_task: Option<Task>,
}

impl Prepared {
    /// Returns whom it trusts at its address; `None` without TLS.
    pub fn trust(&self) -> Option<Trust> {
        self.transport.trust().cloned()
    }

    /// Returns how to ask its CallTools without its task. In a cluster, every node may do that.
    pub fn reach(&self) -> Reach {
        let budget = &self.handle.budget;
        let members = self.handle.member.as_ref().zip(self.counter.as_ref());
        let guest = |(account, counter)| Guest::new(Arc::clone(account), Arc::clone(counter));
        let budget = match members.map(guest) {
            Some(guest) => Arc::new(budget.witnessed_by(Arc::new(guest))),
            None => Arc::clone(budget),
        };
        Reach {
            config: Arc::clone(&self.config),
            budget,
            transport: Arc::clone(&self.transport) as Arc<dyn Transport>,
            token: Some(Arc::clone(&self.token)),
            health: Some(self.handle.health.clone()),
        }
    }
}

impl Wiring {
    /// Prepares what an account needs, without polling or publishing anything.
    ///
    /// # Errors
    /// The connection cannot be set up.
    pub fn prepare(
        &self,
        config: &Arc<config::Account>,
        files: AccountFiles,
    ) -> anyhow::Result<Prepared> {
        self.try_prepare(config, files)
            .with_context(|| format!("account \"{}\"", config.name))
    }

    fn try_prepare(
        &self,
        config: &Arc<config::Account>,
        files: AccountFiles,
    ) -> anyhow::Result<Prepared> {
        let token = files.token;
        let owner = owner(config, &token);
        let budget = Budget::shared(
            Arc::clone(&self.state.ledger),
            owner.clone(),
            config.requests_per_hour,
            config.reserve,
            config.budget.as_ref(),
            Arc::clone(&self.clock),
        );
        let Place {
            budget,
            member,
            membership,
            counter,
            budget_task,
        } = self.join(config, &owner, budget);
        let transport = transport_with(&config.upstream, &token, files.trust)?;
        let transport = Arc::new(transport);
        let (digest, digests) = watch::channel(Some(token.digest()));
        let observer = UpstreamMeters {
            account: Arc::clone(&config.name),
            metrics: Arc::clone(&self.metrics),
        };
        let client = Client::new(
            Arc::clone(&transport) as Arc<dyn Transport>,
            Arc::clone(&budget),
            Arc::clone(&self.clock),
            Arc::new(observer),
        )
        .ordered_by(&config.upstream.ordering_field);
        let keeper = TokenKeeper::new(
            config.upstream.token.clone(),
            origin(&config.upstream.base_url),
            Arc::clone(&transport),
            Arc::clone(&budget),
            digest,
        );
        let (names, named) = watch::channel(Arc::new(Names::default()));
        let (health, healths) = watch::channel(Health::default());
        let (ask_sender, asks) = mpsc::channel(ASKS);
        Ok(Prepared {
            handle: AccountHandle {
                name: Arc::clone(&config.name),
                token: digests,
                budget,
                names: named,
                health: healths,
                asks: ask_sender,
                member,
            },
            config: Arc::clone(config),
            owner,
            client,
            secret: token,
            token: Arc::new(keeper),
            transport,
            names,
            health,
            asks,
            cluster: membership,
            counter,
            budget_task,
        })
    }

    /// Returns the account's place in the cluster, which is told of its requests.
    fn join(&self, config: &config::Account, owner: &BudgetOwner, budget: Budget) -> Place {
        let Some(node) = &self.node else {
            return Place {
                budget: Arc::new(budget),
                member: None,
                membership: None,
                counter: None,
                budget_task: None,
            };
        };
        let mut origin = origin(&config.upstream.base_url);
        let shared = config.budget.as_ref().map(|one| node.budget(&one.name));
        if let Some(shared) = &config.budget {
            // With another budget it is another account, which would spend another hour.
            origin += &format!("\nbudget {}", shared.name);
        }
        let (member, new) = node.member(&config.name, &origin, &owner.identity);
        let (counter, new_budget) = shared.unwrap_or_else(|| (Arc::clone(&member), None));
        let witness: Arc<dyn Witness> = match config.budget {
            Some(_) => Arc::new(Sharer::new(Arc::clone(&member), Arc::clone(&counter))),
            None => Arc::clone(&member) as _,
        };
        let budget = Arc::new(budget.with_witness(witness));
        let own = config.budget.is_none().then(|| Arc::clone(&budget));
        Place {
            membership: new.map(|new| node.membership(new, own)),
            budget_task: new_budget.map(|new| node.budget_task(new, Arc::clone(&budget))),
            member: Some(member),
            counter: Some(counter),
            budget,
        }
    }

    /// Builds the account. What is `known` about its queues is published at once.
    pub fn account(&self, prepared: Prepared, known: Known) -> Account {
        Account::new(account::Deps {
            owner: prepared.owner,
            queues: polled(&prepared.config),
            client: prepared.client,
            budget: prepared.handle.budget,
            board: Arc::clone(&self.board),
            metrics: Arc::clone(&self.metrics),
            reservations: Arc::clone(&self.reservations),
            store: self.state.store.clone(),
            known,
            cluster: prepared.cluster,
            clock: Arc::clone(&self.clock),
            names: prepared.names,
            health: prepared.health,
            options: prepared.config.schedule,
            asks: prepared.asks,
            token: Some(prepared.token),
            heartbeat: self
                .heartbeats
                .begin(format!("the account \"{}\"", prepared.config.name)),
        })
    }

    /// Returns what the previous process knew about an account.
    pub fn stored(&self, prepared: &Prepared) -> Known {
        let Some(store) = &self.state.store else {
            return Known::default();
        };
        store.follow_new_name(&prepared.owner);
        let names = store.names(&prepared.owner, self.clock.now());
        let names = names.map(|(names, _)| names).unwrap_or_default();
        store.known(&prepared.owner, &names)
    }

    /// Builds what the server needs for a config whose accounts have these handles.
    pub fn app(
        &self,
        config: &Config,
        callers: Callers,
        accounts: Vec<AccountHandle>,
        control: Router,
    ) -> Deps {
        Deps {
            board: Arc::clone(&self.board),
            queue_rules: rules::queue_rules(config),
            accounts,
            metrics: Arc::clone(&self.metrics),
            reservations: Arc::clone(&self.reservations),
            clock: Arc::clone(&self.clock),
            state: Some(Arc::clone(&self.state)),
            bearer: callers.bearer,
            clients: callers.clients,
            named_queues: config.named_queues(),
            allowed_hosts: config.server.allowed_hosts.clone(),
            tls: callers.tls,
            limits: Limits::with_connections(descriptors::connections(config)),
            metrics_by_status: config.server.metrics_by_status,
            stopping: self.stop.clone(),
            heartbeats: self.heartbeats.clone(),
            reloads: Some(self.reloads.clone()),
            control,
        }
    }
}

/// Creates this process as a node of the config's cluster, and connects to its engine.
pub(super) fn node(
    config: &Config,
    password: Option<SecretString>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<(Arc<Node>, Arc<RedisEngine>)>> {
    let Some(cluster) = &config.cluster else {
        return Ok(None);
    };
    let engine = RedisEngine::new(&Address {
        url: cluster.url.clone(),
        password,
        prefix: cluster.prefix.clone(),
        replicas: cluster.replicas,
    })
    .context("the url in [cluster]")?;
    let engine = Arc::new(engine);
    let settings = Settings {
        name: cluster.node.clone(),
        lease: cluster.lease,
        alone: cluster.alone.clone(),
    };
    let node = Node::new(Arc::clone(&engine) as Arc<_>, settings, Arc::clone(clock));
    Ok(Some((Arc::new(node), engine)))
}

/// Returns the reservations, with those from before a restart: the seats of the queues of these accounts.
pub(super) fn reservations(
    state: &State,
    accounts: Vec<ConfiguredAccount>,
) -> anyhow::Result<Reservations> {
    let reservations = match &state.store {
        Some(store) => {
            // First, because the seats are restored under the names that the queues have now.
            store.serves(accounts);
            journal::reservations(Arc::clone(store))?
        }
        None => Reservations::new(),
    };
    let calls = Arc::clone(&state.calls);
    Ok(reservations.seen_by(calls))
}

/// Returns what the store needs to know about an account of the config.
pub(super) fn configured(account: &config::Account, owner: BudgetOwner) -> ConfiguredAccount {
    let queue = |queue: &config::Queue| (key(account, queue), queue.reference.clone());
    ConfiguredAccount {
        owner,
        queues: account.queues.iter().map(queue).collect(),
    }
}

/// Returns the same about all accounts, with the tokens that were read.
pub(super) fn all_configured(config: &Config, files: &Files) -> Vec<ConfiguredAccount> {
    let accounts = config.accounts.iter().zip(&files.accounts);
    accounts
        .map(|(account, files)| configured(account, owner(account, &files.token)))
        .collect()
}

/// Returns the owner of an account's budget, as the ledger knows it.
pub fn owner(account: &config::Account, token: &Token) -> BudgetOwner {
    BudgetOwner {
        account: account.name.to_string(),
        identity: token.identity(&origin(&account.upstream.base_url)),
    }
}

/// Creates the transport to an account's CallTools.
///
/// # Errors
/// Certificates cannot be read or used.
pub fn transport(upstream: &config::Upstream, token: &Token) -> anyhow::Result<HttpTransport> {
    let trust = files::trust(upstream, &MachineAuthorities::default())?;
    transport_with(upstream, token, trust)
}

/// Checks that the authorities of `ca_file` can be used.
///
/// # Errors
/// They are not certificates in PEM form.
pub(super) fn check_authorities(
    upstream: &config::Upstream,
    ca_pem: Vec<u8>,
) -> anyhow::Result<()> {
    let proxy = upstream.proxy.as_ref();
    let machine = MachineAuthorities::default();
    calltools::trust(&upstream.base_url, proxy, Some(&ca_pem), &machine)?;
    Ok(())
}

fn transport_with(
    upstream: &config::Upstream,
    token: &Token,
    trust: Option<Trust>,
) -> anyhow::Result<HttpTransport> {
    let settings = HttpSettings {
        base_url: upstream.base_url.clone(),
        authorization: token.authorization(),
        connect_timeout: upstream.connect_timeout,
        timeout: upstream.timeout,
        proxy: upstream.proxy.clone(),
        trust,
    };
    Ok(HttpTransport::new(settings)?)
}

pub(super) fn polled(account: &config::Account) -> Vec<QueueSettings> {
    let queue = |queue: &config::Queue| QueueSettings {
        key: key(account, queue),
        reference: queue.reference.clone(),
        rule: queue.rule.clone(),
        threshold: queue.threshold,
        max_age: queue.max_age,
        hours: queue.hours.clone(),
        soon: queue.soon,
    };
    account.queues.iter().map(queue).collect()
}

/// Counts the requests of one account.
#[derive(Debug)]
struct UpstreamMeters {
    account: Arc<str>,
    metrics: Arc<Metrics>,
}

impl calltools::Observer for UpstreamMeters {
    fn request(&self, endpoint: Endpoint, outcome: &'static str, took: Duration) {
        tracing::trace!(
            account = &*self.account,
            endpoint = endpoint.as_str(),
            outcome,
            ?took,
            "a request to CallTools has ended"
        );
        self.metrics
            .upstream_request(&self.account, endpoint.as_str(), outcome, took);
    }
}
