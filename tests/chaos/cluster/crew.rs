//! Everything that can die: two processes of each role, three nats-servers, one Cassandra.

use super::leader;
use crate::{
    chaos::dice::Dice,
    support::{Cassandra, Client, Member, NatsCluster, cluster_environment},
};
use std::{path::Path, time::Instant};

/// What dies. Of processes the one of its role that does the most.
#[derive(Clone, Copy, Debug)]
pub(super) enum Victim {
    /// The first or the second.
    Api(usize),
    Projector,
    Worker,
    Nats(usize),
    Views,
}

impl Victim {
    /// Each once, in an order of its own; a worker early enough that the campaign still goes out.
    pub(super) fn all(dice: &mut Dice) -> Vec<Self> {
        let api = Self::Api(dice.below(2) as usize);
        let mut left = vec![api, Self::Projector, Self::Nats(1), Self::Nats(2), Self::Nats(3), Self::Views];
        let mut order = Vec::new();
        while !left.is_empty() {
            order.push(left.swap_remove(dice.below(left.len() as u64) as usize));
        }
        order.insert(dice.below(3) as usize, Self::Worker);
        order
    }
}

/// What is known of a kill.
pub(super) struct Death {
    pub(super) name: String,
    pub(super) at: Instant,
    /// Of an API: its number, and the one that callers are sent to.
    pub(super) heir: Option<(usize, Client)>,
    /// Of a nats-server that led something: its name, and where a survivor is asked.
    pub(super) led_by: Option<(String, String)>,
}

pub(super) struct Crew {
    nats: NatsCluster,
    views: Cassandra,
    apis: [Member; 2],
    projectors: [Member; 2],
    workers: [Member; 2],
    clients: [Client; 2],
    /// The projector and the worker that were killed last.
    dead: [usize; 2],
}

impl Crew {
    pub(super) fn start(dir: &Path, mail: &[(&'static str, String)]) -> Self {
        let (nats, views) = std::thread::scope(|scope| {
            let nats = scope.spawn(NatsCluster::serve);
            let views = Cassandra::serve(&["--nodes", "1"]);
            (nats.join().expect("a cluster"), views)
        });
        let mut environment = cluster_environment(&nats, &views, dir);
        environment.extend_from_slice(mail);
        environment.push(("MILLRACE_LOG", "warn,workers=info,millrace=info".into()));
        let begin =
            |role: &str, number: usize| Member::begin(role, &dir.join(format!("{role}-{number}")), &environment);
        let pair = |role: &str| [begin(role, 1), begin(role, 2)];
        let (mut apis, mut projectors, mut workers) = (pair("api"), pair("projector"), pair("worker"));
        projectors.iter_mut().chain(&mut workers).for_each(|member| drop(member.wait()));
        let urls = apis.each_mut().map(|api| api.wait().expect("an address"));
        let login = apis.iter().find_map(Member::login).expect("one of them made a login");
        let first = Client::new(&urls[0], login["api_key"].as_str().expect("a key"));
        let clients = urls.map(|url| first.at(&url));
        Self { nats, views, apis, projectors, workers, clients, dead: [0; 2] }
    }

    /// Of the first API that lives.
    pub(super) fn client(&self) -> Client {
        self.clients[0].clone()
    }

    pub(super) fn clients(&self) -> [Client; 2] {
        self.clients.clone()
    }

    fn monitor(&self, n: usize) -> String {
        let address = self.nats.said().split(',').nth(n - 1).expect("an address");
        address.replace("tls://", "http://").replace(":4222", ":8222")
    }

    /// kill -9.
    pub(super) fn kill(&mut self, victim: Victim) -> Death {
        let mut death = Death { name: String::new(), at: Instant::now(), heir: None, led_by: None };
        match victim {
            Victim::Api(dead) => {
                self.apis[dead].kill();
                self.clients[dead] = self.clients[1 - dead].clone();
                death.heir = Some((dead, self.clients[dead].clone()));
                death.name = format!("api {}", dead + 1);
            }
            Victim::Projector => {
                self.dead[0] = busiest(&self.projectors, "this process carries the views");
                self.projectors[self.dead[0]].kill();
                death.name = format!("projector {}", self.dead[0] + 1);
            }
            Victim::Worker => {
                self.dead[1] = busiest(&self.workers, "it is this process's turn");
                self.workers[self.dead[1]].kill();
                death.name = format!("worker {}", self.dead[1] + 1);
            }
            Victim::Nats(n) => {
                let (server, survivor) = (format!("n{n}"), self.monitor(n % 3 + 1));
                let led = tokio::runtime::Handle::current().block_on(leader::led(&self.monitor(n), &server));
                death.at = Instant::now();
                self.nats.kill(n);
                let what: Vec<&str> = led.iter().filter_map(|stream| stream.split('_').next()).collect();
                death.name = format!("nats {n} {}", what.join("+")).trim_end().to_owned();
                death.led_by = (!led.is_empty()).then_some((server, survivor));
            }
            Victim::Views => {
                self.views.kill(1);
                death.name = "cassandra".into();
            }
        }
        death
    }

    pub(super) fn bring_back(&mut self, victim: Victim) {
        let again = |member: &mut Member| {
            member.begin_again();
            member.wait()
        };
        match victim {
            Victim::Api(dead) => {
                let url = again(&mut self.apis[dead]).expect("an address");
                self.clients[dead] = self.clients[dead].at(&url);
            }
            Victim::Projector => drop(again(&mut self.projectors[self.dead[0]])),
            Victim::Worker => drop(again(&mut self.workers[self.dead[1]])),
            Victim::Nats(n) => self.nats.start(n),
            Victim::Views => self.views.start(1),
        }
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.apis.iter().chain(&self.projectors).chain(&self.workers)
    }

    /// No process panicked. The cause of a parked item also has the word, without a place.
    pub(super) fn is_sound(&self) {
        self.members().map(Member::log).for_each(|log| assert!(!log.contains("panicked at"), "{log}"));
    }

    /// Ends every process in order.
    pub(super) fn stop(self) {
        for member in self.workers.into_iter().chain(self.apis).chain(self.projectors) {
            assert_eq!(member.stop(), Some(0), "it ends in order");
        }
    }
}

/// The number of the one that said it most often.
fn busiest(members: &[Member; 2], said: &str) -> usize {
    let [one, two] = members.each_ref().map(|member| member.log().matches(said).count());
    usize::from(two > one)
}
