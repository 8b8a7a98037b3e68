//! A proxy to the server that can be cut and restored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::backend::root_url;

/// What happens to connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// They end, and new ones end at once.
    Cut,
    /// They stay open, and no bytes pass.
    Stuck,
    /// Existing connections stay open without passing bytes; new ones work.
    ///
    /// This is what clients see if a server's node is lost silently and the server returns on another node.
    Stranded,
}

pub struct Proxy {
    pub port: u16,
    state: watch::Sender<State>,
    open: Arc<AtomicUsize>,
    tried: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn start() -> Self {
        Self::start_as(State::Open).await
    }

    pub async fn start_cut() -> Self {
        Self::start_as(State::Cut).await
    }

    async fn start_as(initial: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, watched) = watch::channel(initial);
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&open);
        let tried = Arc::new(AtomicUsize::new(0));
        let tries = Arc::clone(&tried);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tries.fetch_add(1, Ordering::SeqCst);
                let (watched, counted) = (watched.clone(), Arc::clone(&counted));
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    forward(client, watched).await;
                    counted.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, state, open, tried }
    }

    /// The same account and database, through this proxy.
    pub fn url(&self, url: &str) -> String {
        url.replacen(&server_address(), &format!("127.0.0.1:{}", self.port), 1)
    }

    /// Returns when no connection is left.
    pub async fn cut(&self) {
        self.state.send_replace(State::Cut);
        while self.open.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Returns after the first attempt to connect.
    pub async fn tried(&self) {
        while self.tried.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub fn strand(&self) {
        self.state.send_replace(State::Stranded);
    }

    pub fn stick(&self) {
        self.state.send_replace(State::Stuck);
    }

    pub fn restore(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn forward(mut client: TcpStream, mut state: watch::Receiver<State>) {
    if *state.borrow() == State::Cut {
        return;
    }
    let mut server = TcpStream::connect(server_address()).await.unwrap();
    let begun = *state.borrow_and_update();
    let end = tokio::select! {
        biased;
        () = std::future::ready(()), if begun == State::Stuck => State::Stuck,
        changed = state.wait_for(|state| *state != begun) => changed.map_or(State::Cut, |state| *state),
        _ = copy_bidirectional(&mut client, &mut server) => State::Cut,
    };
    match end {
        // Both ends stay open until the proxy is restored, then they end: pending bytes are lost.
        State::Stuck => drop(state.wait_for(|state| *state != State::Stuck).await),
        State::Stranded => std::future::pending().await,
        State::Open | State::Cut => {}
    }
}

fn server_address() -> String {
    root_url().rsplit('@').next().unwrap().to_owned()
}
