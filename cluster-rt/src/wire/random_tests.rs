//! Random frames of a link come back from their bytes, and from nothing less or more.

use std::{fmt::Debug, net::SocketAddr};

use proptest::{prelude::*, sample::Index, strategy::LazyJust};

use super::*;
use crate::endpoint::Peek;

/// Frames that hold whatever their types can.
fn to_zygote() -> impl Strategy<Value = ToZygote> {
    let credentials = any::<(u32, u32, Vec<u32>)>().prop_map(|(uid, gid, groups)| Credentials {
        uid,
        gid,
        groups,
    });
    prop_oneof![
        (prop::option::of(credentials), any::<Option<u64>>())
            .prop_map(|(credentials, nofile)| ToZygote::Begin { credentials, nofile }),
        any::<(u64, usize, u32)>().prop_map(|(worker, slot, row)| ToZygote::Spawn {
            worker: WorkerId(worker),
            slot,
            row
        }),
    ]
}

fn from_zygote() -> impl Strategy<Value = FromZygote> {
    prop_oneof![
        any::<u32>().prop_map(|protocol| FromZygote::Hello { protocol }),
        any::<String>().prop_map(|reason| FromZygote::Refused { reason }),
        any::<(u64, i32)>()
            .prop_map(|(worker, pid)| FromZygote::Spawned { worker: WorkerId(worker), pid }),
        any::<(u64, i32)>().prop_map(|(worker, errno)| FromZygote::SpawnFailed {
            worker: WorkerId(worker),
            errno
        }),
        LazyJust::new(|| FromZygote::Begun),
        LazyJust::new(|| FromZygote::Preloading),
        any::<[u8; 4]>().prop_map(|errno| FromZygote::ExecFailed { errno }),
    ]
}

fn to_worker() -> impl Strategy<Value = ToWorker> {
    let flavors =
        prop::sample::select(vec![Flavor::CurrentThread, Flavor::Local, Flavor::MultiThread]);
    let bound = (any::<u32>(), endpoints())
        .prop_map(|(listener, endpoint)| Bound { listener: ListenerId(listener), endpoint });
    let refused =
        any::<(String, i32)>().prop_map(|(operation, errno)| BindRefused { operation, errno });
    let outcomes = prop::result::maybe_ok(bound, refused);
    prop_oneof![
        (
            any::<(usize, u32, usize, bool, bool, Option<Duration>)>(),
            any::<(Option<String>, Vec<u64>)>(),
            flavors,
            prop::collection::vec(split(), 0..4)
        )
            .prop_map(|(numbers, (service, services), flavor, splits)| {
                let (slot, generation, worker_threads, pin, sits, heartbeat) = numbers;
                ToWorker::Go(Go {
                    slot,
                    generation,
                    service,
                    services,
                    flavor,
                    worker_threads,
                    pin,
                    sits,
                    heartbeat,
                    splits,
                })
            }),
        (any::<u32>(), outcomes)
            .prop_map(|(request, outcome)| ToWorker::Bound { request, outcome }),
        any::<u32>().prop_map(|request| ToWorker::Shared { request }),
        LazyJust::new(|| ToWorker::Drain),
        LazyJust::new(|| ToWorker::Promoted),
        split().prop_map(ToWorker::Split),
    ]
}

fn split() -> impl Strategy<Value = Split> {
    any::<(u64, Vec<usize>, u64)>().prop_map(|(service, slots, version)| Split {
        service,
        slots,
        version,
    })
}

fn endpoints() -> impl Strategy<Value = Endpoint> {
    prop_oneof![
        any::<SocketAddr>().prop_map(Endpoint::Tcp),
        any::<SocketAddr>().prop_map(Endpoint::Udp),
        any::<String>().prop_map(|path| Endpoint::Unix(path.into())),
    ]
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let kinds = prop::sample::select(vec![Kind::Tcp, Kind::Udp, Kind::Unix]);
    let inherited = prop_oneof![
        any::<String>().prop_map(Inherited::Name),
        any::<i32>().prop_map(Inherited::Number)
    ];
    prop_oneof![
        any::<(SocketAddr, u32)>().prop_map(|(addr, nth)| Wanted::Tcp { addr, nth }),
        any::<(SocketAddr, u32)>().prop_map(|(addr, nth)| Wanted::Udp { addr, nth }),
        any::<String>().prop_map(|path| Wanted::Unix { path: path.into() }),
        (inherited, kinds).prop_map(|(which, kind)| Wanted::Inherited { which, kind }),
    ]
}

fn options() -> impl Strategy<Value = BindOptions> {
    let schedules = prop::sample::select(vec![
        Schedule::RoundRobin,
        Schedule::LeastConnections,
        Schedule::Sticky,
        Schedule::Shared,
        Schedule::Kernel,
        Schedule::ByKey(Peek::Host),
        Schedule::ByKey(Peek::Line),
    ]);
    let numbers = any::<(u32, Option<bool>, Option<u64>, u64, bool, Option<u32>)>();
    let peeking = (any::<(u32, Duration, u32, bool)>(), any::<Vec<(String, u32)>>()).prop_map(
        |((bytes, timeout, waiting, close), table)| {
            let table = table.into_iter().map(|(key, slot)| Entry { key, slot }).collect();
            Peeking { bytes, timeout, waiting, close, table }
        },
    );
    let owner = any::<(Option<u32>, Option<u32>)>().prop_map(|(uid, gid)| Owner { uid, gid });
    (prop::option::of(schedules), numbers, owner, prop::option::of(peeking)).prop_map(|given| {
        let (schedule, numbers, owner, peek) = given;
        let (backlog, v6only, connections, waiting, close_excess, mode) = numbers;
        let limits = Limits { connections, waiting };
        BindOptions { schedule, backlog, v6only, limits, close_excess, mode, owner, peek }
    })
}

fn from_worker() -> impl Strategy<Value = FromWorker> {
    let listeners = || any::<u32>().prop_map(ListenerId);
    prop_oneof![
        any::<u32>().prop_map(|protocol| FromWorker::Hello { protocol }),
        LazyJust::new(|| FromWorker::Online),
        (any::<u32>(), wanted(), options())
            .prop_map(|(request, wanted, options)| FromWorker::Bind { request, wanted, options }),
        listeners().prop_map(|listener| FromWorker::Accepting { listener }),
        (any::<u32>(), listeners())
            .prop_map(|(request, listener)| FromWorker::Share { request, listener }),
        listeners().prop_map(|listener| FromWorker::Unlisten { listener }),
        LazyJust::new(|| FromWorker::Ready),
        LazyJust::new(|| FromWorker::StopAsked),
        LazyJust::new(|| FromWorker::ReplaceAsked),
        any::<(i32, bool)>().prop_map(|(code, panicked)| FromWorker::Ended { code, panicked }),
    ]
}

fn comes_back<T>(frame: &T, cut: Index) -> Result<(), TestCaseError>
where
    T: Serialize + DeserializeOwned + Debug,
{
    let bytes = encode(frame).expect("small enough");
    let again: T = decode(&bytes).map_err(TestCaseError::fail)?;
    prop_assert_eq!(format!("{again:?}"), format!("{frame:?}"));
    prop_assert!(decode::<T>(&bytes[..cut.index(bytes.len())]).is_err());
    prop_assert!(decode::<T>(&[&bytes[..], &[0]].concat()).is_err());
    Ok(())
}

proptest! {
    #[test]
    fn to_zygote_comes_back(frame in to_zygote(), cut in any::<Index>()) {
        comes_back(&frame, cut)?;
    }

    #[test]
    fn from_zygote_comes_back(frame in from_zygote(), cut in any::<Index>()) {
        comes_back(&frame, cut)?;
    }

    #[test]
    fn to_worker_comes_back(frame in to_worker(), cut in any::<Index>()) {
        comes_back(&frame, cut)?;
    }

    #[test]
    fn from_worker_comes_back(frame in from_worker(), cut in any::<Index>()) {
        comes_back(&frame, cut)?;
    }
}
