/**
 * The seccomp profile a container gets unless it asks for another: system calls are refused with EPERM unless they are
 * named here. It is an allow-list by purpose, so that a new system call starts out refused, and it stands or falls with
 * the container's capabilities: what the kernel would refuse for want of a capability anyway is not even reachable.
 */

/** A condition on one argument of a system call: `(argument & mask) == value`, or `argument op value` without a mask. */
export interface ArgumentTest {
  index: number;
  op: "==" | "!=" | "masked==";
  value: number;
  mask?: number;
}

/** Calls that are let through together, and why. */
export interface SyscallGroup {
  /** What a program needs them for, or why they are safe. */
  why: string;
  /** Names, separated by blanks. */
  calls: string;
  /** Only for containers with at least this capability. */
  capability?: string;
  /** Only for containers without this capability. */
  withoutCapability?: string;
  /** Only on these machines, in the API's names for architectures. */
  machines?: readonly string[];
  /** Only from this kernel on. */
  sinceKernel?: readonly [major: number, minor: number];
  /** Each set of tests gives one rule; a call is let through where all tests of one set hold. */
  tests?: readonly (readonly ArgumentTest[])[];
  /** Refuse with this errno instead of letting through. */
  errno?: number;
}

/** CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}: a call of clone with any of these makes a namespace. */
const namespaceFlags = 0x7e020000;
const enosys = 38;
const afVsock = 40;

/** Linux and Linux 32-bit, with or without UNAME26, and the query that changes nothing (linux/personality.h). */
const harmlessPersonalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

export const defaultProfile: readonly SyscallGroup[] = [
  {
    why: "open files and move bytes",
    calls:
      "open openat openat2 creat close close_range dup dup2 dup3 read readv pread64 preadv preadv2 write writev pwrite64 " +
      "pwritev pwritev2 lseek _llseek fcntl fcntl64 ioctl flock truncate truncate64 ftruncate ftruncate64 fallocate " +
      "fsync fdatasync sync syncfs sync_file_range sendfile sendfile64 copy_file_range splice tee vmsplice readahead " +
      "fadvise64 fadvise64_64 cachestat pipe pipe2",
  },
  {
    why: "walk and change the file tree",
    calls:
      "stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs statfs64 fstatfs fstatfs64 access " +
      "faccessat faccessat2 chdir fchdir getcwd getdents getdents64 mkdir mkdirat rmdir mknod mknodat link linkat " +
      "symlink symlinkat readlink readlinkat rename renameat renameat2 unlink unlinkat chmod fchmod fchmodat fchmodat2 " +
      "chown chown32 lchown lchown32 fchown fchown32 fchownat umask utime utimes futimesat utimensat utimensat_time64 " +
      "name_to_handle_at",
  },
  {
    why: "extended attributes, which the kernel guards by namespace and owner",
    calls:
      "getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr removexattr " +
      "lremovexattr fremovexattr",
  },
  {
    why: "wait for several things at once, and for changes of files",
    calls:
      "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl " +
      "epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 inotify_init inotify_init1 " +
      "inotify_add_watch inotify_rm_watch fanotify_mark",
  },
  {
    why: "asynchronous input and output of the old kind; io_uring is left out, it has been a way out too often",
    calls: "io_setup io_submit io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64",
  },
  {
    why: "memory",
    calls:
      "brk mmap mmap2 munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall munlock munlockall mseal " +
      "remap_file_pages memfd_create memfd_secret pkey_alloc pkey_free pkey_mprotect membarrier map_shadow_stack " +
      "process_mrelease",
  },
  {
    why: "processes and threads of one's own",
    calls:
      "fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid getpgid getpgrp setpgid " +
      "getsid setsid set_tid_address set_robust_list get_robust_list set_thread_area get_thread_area rseq prctl kill " +
      "tkill tgkill pidfd_open pidfd_send_signal restart_syscall",
  },
  {
    why: "signals",
    calls:
      "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait " +
      "rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask sigreturn pause",
  },
  {
    why: "locks between threads",
    calls: "futex futex_time64 futex_waitv futex_wait futex_wake futex_requeue",
  },
  {
    why: "scheduling, within the limits the kernel sets to whoever asks",
    calls:
      "sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam " +
      "sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval " +
      "sched_rr_get_interval_time64 getpriority setpriority ioprio_get ioprio_set getcpu",
  },
  {
    why: "read clocks, sleep, set timers",
    calls:
      "time times gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_adjtime " +
      "clock_adjtime64 adjtimex nanosleep clock_nanosleep clock_nanosleep_time64 alarm getitimer setitimer timer_create " +
      "timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create " +
      "timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64",
  },
  {
    why: "who one is, and becoming less",
    calls:
      "getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid getresgid32 " +
      "getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid " +
      "setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 capget capset " +
      "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self",
  },
  {
    why: "limits, usage, facts about the machine, random bytes",
    calls: "getrlimit ugetrlimit setrlimit prlimit64 getrusage sysinfo uname getrandom",
  },
  {
    why: "messages, semaphores and shared memory, which the IPC namespace keeps in",
    calls:
      "ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget " +
      "mq_open mq_unlink mq_getsetattr mq_notify mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64",
  },
  {
    why: "sockets, which the network namespace keeps in",
    calls:
      "accept accept4 bind connect listen shutdown getpeername getsockname getsockopt setsockopt recv recvfrom recvmsg " +
      "recvmmsg recvmmsg_time64 send sendto sendmsg sendmmsg socketpair socketcall",
  },
  {
    why: "any socket but AF_VSOCK, which no namespace keeps in: it reaches the hypervisor",
    calls: "socket",
    tests: [[{ index: 0, op: "!=", value: afVsock }]],
  },
  {
    why: "personalities that switch off no protection of memory",
    calls: "personality",
    tests: harmlessPersonalities.map((value) => [{ index: 0, op: "==", value }]),
  },
  {
    why: "a debugger for one's own processes: before 4.8 ptrace was a way round seccomp itself",
    calls: "ptrace process_vm_readv process_vm_writev",
    sinceKernel: [4, 8],
  },
  { why: "the x86's own", calls: "arch_prctl modify_ldt", machines: ["amd64", "386"] },
  {
    why: "the 32-bit arm's own",
    calls: "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    machines: ["arm", "arm64"],
  },

  {
    why: "threads and processes, but no new namespaces",
    calls: "clone",
    withoutCapability: "CAP_SYS_ADMIN",
    tests: [[{ index: 0, op: "masked==", mask: namespaceFlags, value: 0 }]],
  },
  {
    why: "its flags are in memory, where seccomp does not look: pretend it is unknown, so that libc turns to clone",
    calls: "clone3",
    withoutCapability: "CAP_SYS_ADMIN",
    errno: enosys,
  },
  {
    why: "namespaces and mounts",
    calls:
      "clone clone3 unshare setns mount mount_setattr move_mount open_tree fsopen fspick fsconfig fsmount umount umount2 " +
      "sethostname setdomainname quotactl quotactl_fd fanotify_init bpf perf_event_open syslog lookup_dcookie",
    capability: "CAP_SYS_ADMIN",
  },
  { why: "files by handle", calls: "open_by_handle_at", capability: "CAP_DAC_READ_SEARCH" },
  { why: "another root", calls: "chroot", capability: "CAP_SYS_CHROOT" },
  { why: "the machine's power", calls: "reboot", capability: "CAP_SYS_BOOT" },
  { why: "kernel modules", calls: "init_module finit_module delete_module", capability: "CAP_SYS_MODULE" },
  { why: "accounting", calls: "acct", capability: "CAP_SYS_PACCT" },
  {
    why: "other processes' memory and descriptors",
    calls: "ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp",
    capability: "CAP_SYS_PTRACE",
  },
  { why: "the machine's ports", calls: "ioperm iopl", capability: "CAP_SYS_RAWIO" },
  { why: "set the clock", calls: "settimeofday stime clock_settime clock_settime64", capability: "CAP_SYS_TIME" },
  { why: "terminals of others", calls: "vhangup", capability: "CAP_SYS_TTY_CONFIG" },
  {
    why: "where memory lies",
    calls: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    capability: "CAP_SYS_NICE",
  },
  { why: "the kernel's log", calls: "syslog", capability: "CAP_SYSLOG" },
  { why: "programs in the kernel", calls: "bpf", capability: "CAP_BPF" },
  { why: "performance counters", calls: "perf_event_open", capability: "CAP_PERFMON" },
];
