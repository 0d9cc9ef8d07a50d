//! Programs by which the kernel chooses among the sockets of a SO_REUSEPORT group.
//!
//! In turn by eBPF where this process may load it, at random by classic BPF where not. Knows sockets by
//! their position in the group, which is the order in which they began to listen. A program that cannot
//! be had leaves the kernel's own choice, a hash of the addresses. See `bpf(2)` and, for
//! SO_ATTACH_REUSEPORT_EBPF and _CBPF, `socket(7)`.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
};

use nix::libc;

/// Sockets of one group.
pub(crate) const GROUP_MAX: usize = 512;

/// An eBPF program that chooses the sockets in turn, with its memory.
#[derive(Debug)]
pub(crate) struct InTurn {
    turns: OwnedFd,
    sockets: OwnedFd,
    program: OwnedFd,
}

/// The memory of the program, as it and [`InTurn::choose_among`] know it.
#[repr(C)]
struct Turns {
    /// Counted up for each connection.
    turn: u64,
    /// How many positions there are in `positions`.
    count: u64,
    positions: [u32; GROUP_MAX],
}

impl InTurn {
    /// Loads the program.
    ///
    /// # Errors
    /// EPERM where this process may not (CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN); EINVAL on kernels
    /// before 5.12.
    pub(crate) fn load() -> io::Result<Self> {
        let turns = create_map(MAP_TYPE_ARRAY, size_of::<Turns>(), 1)?;
        let sockets = create_map(MAP_TYPE_REUSEPORT_SOCKARRAY, size_of::<u64>(), GROUP_MAX)?;
        let program = load_program(&program(turns.as_raw_fd(), sockets.as_raw_fd()))?;
        Ok(Self { turns, sockets, program })
    }

    /// Makes the program choose for the group of `socket`.
    pub(crate) fn attach(&self, socket: impl AsFd) -> io::Result<()> {
        let program = self.program.as_raw_fd();
        set_option(socket, libc::SO_ATTACH_REUSEPORT_EBPF, &program)
    }

    /// Makes the listening socket known at its position.
    pub(crate) fn add(&self, position: usize, socket: impl AsFd) -> io::Result<()> {
        let (key, value) = (position as u32, socket.as_fd().as_raw_fd() as u64);
        update_map(&self.sockets, &key, &value)
    }

    /// From now on the program chooses among these positions; with none the kernel does, by hash.
    pub(crate) fn choose_among(&self, positions: &[usize]) -> io::Result<()> {
        let mut turns = Turns { turn: 0, count: 0, positions: [0; GROUP_MAX] };
        for (turn, position) in turns.positions.iter_mut().zip(positions) {
            *turn = *position as u32;
            turns.count += 1;
        }
        update_map(&self.turns, &0_u32, &turns)
    }
}

/// Makes the kernel choose among these positions of the group of `socket` at random.
pub(crate) fn choose_at_random(socket: impl AsFd, positions: &[usize]) -> io::Result<()> {
    /// Codes of `linux/bpf_common.h`: `BPF_LD | BPF_W | BPF_ABS`, `BPF_ALU | BPF_MOD | BPF_K`,
    /// `BPF_JMP | BPF_JEQ | BPF_K`, `BPF_RET | BPF_K`.
    const LOAD: u16 = 0x20;
    const MOD: u16 = 0x94;
    const JUMP_UNLESS_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// `SKF_AD_OFF + SKF_AD_RANDOM` of `linux/filter.h`.
    const RANDOM: u32 = (-0x1000_i32 + 56) as u32;
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let mut steps = Vec::with_capacity(2 * positions.len() + 2);
    if let Some((last, others)) = positions.split_last() {
        steps.push(step(LOAD, 0, RANDOM));
        steps.push(step(MOD, 0, positions.len() as u32));
        for (nth, position) in others.iter().enumerate() {
            steps.push(step(JUMP_UNLESS_EQUAL, 1, nth as u32));
            steps.push(step(RETURN, 0, *position as u32));
        }
        steps.push(step(RETURN, 0, *last as u32));
    } else {
        // No such position: the kernel chooses by its hash.
        steps.push(step(RETURN, 0, u32::MAX));
    }
    let len = u16::try_from(steps.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: steps.as_mut_ptr() };
    set_option(socket, libc::SO_ATTACH_REUSEPORT_CBPF, &program)
}

fn set_option<T>(socket: impl AsFd, option: i32, value: &T) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let (value, len) = (std::ptr::from_ref(value).cast(), size_of::<T>() as libc::socklen_t);
    // SAFETY: `value` is valid for reads of `len` bytes, and what a `sock_fprog` points to lives in its
    // caller; the kernel copies both before it returns.
    match unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, value, len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

// From here on: the words of `linux/bpf.h`.

const MAP_CREATE: i32 = 0;
const MAP_UPDATE_ELEM: i32 = 2;
const PROG_LOAD: i32 = 5;
const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_REUSEPORT_SOCKARRAY: u32 = 20;
const PROG_TYPE_SK_REUSEPORT: u32 = 21;

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

#[repr(C)]
struct MapUpdate {
    map_fd: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Insn {
    code: u8,
    /// The destination in the lower half, the source in the upper.
    registers: u8,
    off: i16,
    imm: i32,
}

fn create_map(map_type: u32, value_size: usize, max_entries: usize) -> io::Result<OwnedFd> {
    let (value_size, max_entries) = (value_size as u32, max_entries as u32);
    let attr = MapCreate { map_type, key_size: 4, value_size, max_entries, map_flags: 0 };
    descriptor(bpf(MAP_CREATE, &attr)?)
}

fn update_map<V>(map: &OwnedFd, key: &u32, value: &V) -> io::Result<()> {
    let (key, value) = (std::ptr::from_ref(key) as u64, std::ptr::from_ref(value) as u64);
    let attr = MapUpdate { map_fd: map.as_raw_fd() as u32, key, value, flags: 0 };
    bpf(MAP_UPDATE_ELEM, &attr).map(drop)
}

fn load_program(insns: &[Insn]) -> io::Result<OwnedFd> {
    let attr = ProgLoad {
        prog_type: PROG_TYPE_SK_REUSEPORT,
        insn_cnt: insns.len() as u32,
        insns: insns.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    descriptor(bpf(PROG_LOAD, &attr)?)
}

/// `bpf(2)`. The addresses in `attr` have to be valid for what the command reads there.
fn bpf<T>(command: i32, attr: &T) -> io::Result<i64> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of `attr` and what the addresses in it lead to, all
    // of which the callers above borrow until this returns, and writes nothing: no log is asked for.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}

fn descriptor(number: i64) -> io::Result<OwnedFd> {
    let number = i32::try_from(number).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: `bpf(2)` has just returned it, close-on-exec, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The program: take a turn, and choose the position whose turn it is.
fn program(turns: i32, sockets: i32) -> Vec<Insn> {
    const LOOKUP: i32 = 1;
    const SELECT_REUSEPORT: i32 = 82;
    const LOAD_MAP: u8 = 0x18; // BPF_LD | BPF_DW | BPF_IMM, with BPF_PSEUDO_MAP_FD as source
    const PSEUDO_MAP_FD: u8 = 1;
    const MOV: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
    const MOV_REG: u8 = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
    const ADD: u8 = 0x07; // BPF_ALU64 | BPF_ADD | BPF_K
    const ADD_REG: u8 = 0x0f; // BPF_ALU64 | BPF_ADD | BPF_X
    const MOD_REG: u8 = 0x9f; // BPF_ALU64 | BPF_MOD | BPF_X
    const SHIFT_LEFT: u8 = 0x67; // BPF_ALU64 | BPF_LSH | BPF_K
    const STORE_32: u8 = 0x63; // BPF_STX | BPF_MEM | BPF_W
    const LOAD_32: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
    const LOAD_64: u8 = 0x79; // BPF_LDX | BPF_MEM | BPF_DW
    const ATOMIC_64: u8 = 0xdb; // BPF_STX | BPF_ATOMIC | BPF_DW
    const FETCH_ADD: i32 = 0x01; // BPF_ADD | BPF_FETCH
    const IF_ZERO: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const IF_ABOVE: u8 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
    const CALL: u8 = 0x85; // BPF_JMP | BPF_CALL
    const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT
    const COUNT: i16 = std::mem::offset_of!(Turns, count) as i16;
    const POSITIONS: i32 = std::mem::offset_of!(Turns, positions) as i32;
    let insn =
        |code, dst: u8, src: u8, off, imm| Insn { code, registers: src << 4 | dst, off, imm };
    let passes = 26;
    // How far it is from the instruction after the `at`-th to the end, where the kernel's hash is left
    // to choose.
    let pass = |at: i16| passes - at - 1;
    vec![
        /*  0 */ insn(MOV_REG, 6, 1, 0, 0), // what is to be decided
        /*  1 */ insn(MOV, 0, 0, 0, 0),
        /*  2 */ insn(STORE_32, 10, 0, -4, 0),
        /*  3 */ insn(LOAD_MAP, 1, PSEUDO_MAP_FD, 0, turns),
        /*  4 */ insn(0, 0, 0, 0, 0), // its upper half
        /*  5 */ insn(MOV_REG, 2, 10, 0, 0),
        /*  6 */ insn(ADD, 2, 0, 0, -4),
        /*  7 */ insn(CALL, 0, 0, 0, LOOKUP),
        /*  8 */ insn(IF_ZERO, 0, 0, pass(8), 0),
        /*  9 */ insn(LOAD_64, 2, 0, COUNT, 0),
        /* 10 */ insn(IF_ZERO, 2, 0, pass(10), 0),
        /* 11 */ insn(MOV, 1, 0, 0, 1),
        /* 12 */ insn(ATOMIC_64, 0, 1, 0, FETCH_ADD),
        /* 13 */ insn(MOD_REG, 1, 2, 0, 0),
        /* 14 */ insn(IF_ABOVE, 1, 0, pass(14), GROUP_MAX as i32 - 1),
        /* 15 */ insn(SHIFT_LEFT, 1, 0, 0, 2),
        /* 16 */ insn(ADD_REG, 0, 1, 0, 0),
        /* 17 */ insn(LOAD_32, 1, 0, POSITIONS as i16, 0),
        /* 18 */ insn(STORE_32, 10, 1, -4, 0),
        /* 19 */ insn(MOV_REG, 1, 6, 0, 0),
        /* 20 */ insn(LOAD_MAP, 2, PSEUDO_MAP_FD, 0, sockets),
        /* 21 */ insn(0, 0, 0, 0, 0),
        /* 22 */ insn(MOV_REG, 3, 10, 0, 0),
        /* 23 */ insn(ADD, 3, 0, 0, -4),
        /* 24 */ insn(MOV, 4, 0, 0, 0),
        /* 25 */ insn(CALL, 0, 0, 0, SELECT_REUSEPORT),
        /* 26 */ insn(MOV, 0, 0, 0, 1), // SK_PASS
        /* 27 */ insn(EXIT, 0, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::sys::socket::{self, Listening};

    fn group(count: usize) -> (Vec<OwnedFd>, SocketAddr) {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let options = Listening { backlog: 128, v6only: None };
        let first = socket::listen_tcp_first_of_group(any, options).expect("a socket");
        let addr = socket::local_addr(&first).expect("bound");
        let mut sockets = vec![first];
        while sockets.len() < count {
            sockets.push(socket::listen_tcp_in_group(addr, options).expect("a socket"));
        }
        (sockets, addr)
    }

    fn distribution(sockets: &[OwnedFd], addr: SocketAddr, connections: usize) -> Vec<usize> {
        let clients: Vec<_> = (0..connections)
            .map(|_| std::net::TcpStream::connect(addr).expect("a connection"))
            .collect();
        let count = |socket: &OwnedFd| std::iter::from_fn(|| socket::accept(socket).ok()).count();
        let counts = sockets.iter().map(count).collect();
        drop(clients);
        counts
    }

    #[test]
    fn in_turn_is_exact_and_leaves_out_whom_it_is_told_to() {
        let program = match InTurn::load() {
            Ok(program) => program,
            Err(error) => return eprintln!("skipped: eBPF: {error}"),
        };
        let (sockets, addr) = group(3);
        for (position, socket) in sockets.iter().enumerate() {
            program.add(position, socket).expect("added");
        }
        program.attach(&sockets[0]).expect("attached");
        program.choose_among(&[0, 1, 2]).expect("chosen");
        assert_eq!(distribution(&sockets, addr, 30), [10, 10, 10]);
        program.choose_among(&[0, 2]).expect("chosen");
        assert_eq!(distribution(&sockets, addr, 30), [15, 0, 15]);
    }

    #[test]
    fn at_random_reaches_all_and_leaves_out_whom_it_is_told_to() {
        let (sockets, addr) = group(3);
        choose_at_random(&sockets[0], &[0, 1, 2]).expect("attached");
        assert!(distribution(&sockets, addr, 60).iter().all(|&count| count > 0));
        choose_at_random(&sockets[0], &[1]).expect("attached");
        assert_eq!(distribution(&sockets, addr, 30), [0, 30, 0]);
        choose_at_random(&sockets[0], &[]).expect("attached");
        assert_eq!(distribution(&sockets, addr, 30).iter().sum::<usize>(), 30);
    }

    #[test]
    fn a_second_group_at_the_address_is_refused() {
        let (_sockets, addr) = group(2);
        let options = Listening { backlog: 128, v6only: None };
        let refused = socket::listen_tcp_first_of_group(addr, options).expect_err("in use");
        assert_eq!(refused.error.kind(), io::ErrorKind::AddrInUse);
    }
}
