/** The shapes of all request bodies (Engine API, the `body` parameters). */
import type { ExecConfig } from "../containers/exec.ts";
import type { LoginRequest } from "../images/login.ts";
import type {
  ConfigReference,
  ContainerConfig,
  DeviceMapping,
  DeviceRequest,
  EndpointIPAMConfig,
  EndpointSettings,
  HealthConfig,
  HostConfig,
  IPAM,
  IPAMConfig,
  Mount,
  MountType,
  NetworkConnectRequest,
  NetworkCreateRequest,
  NetworkDisconnectRequest,
  NetworkingConfig,
  OCIPlatform,
  PortBinding,
  PortMap,
  Resources,
  RestartPolicy,
  ThrottleDevice,
  VolumeCreateRequest,
} from "../wire/engine-api.ts";
import {
  boolean,
  embedded,
  empty,
  integer,
  list,
  map,
  nullable,
  type Shape,
  string,
  stringOrList,
  struct,
} from "./shape.ts";

const strings = list(string());
const labels = map(string());
const int = integer("int");
const unsigned = integer("uint", 0);

const healthConfig = struct<HealthConfig>(
  "HealthcheckConfig",
  {
    Test: strings,
    Interval: integer("time.Duration"),
    Timeout: integer("time.Duration"),
    Retries: int,
    StartPeriod: integer("time.Duration"),
    StartInterval: integer("time.Duration"),
  },
  "container.HealthConfig",
);

/** Fields that older API versions have; compatibility.ts turns them into those of the present one. */
export interface OldContainerConfig extends ContainerConfig {
  /** Until 1.43; an endpoint's since. */
  MacAddress?: string;
}

const containerConfigFields: Parameters<typeof struct<OldContainerConfig>>[1] = {
  Hostname: string(),
  Domainname: string(),
  User: string(),
  AttachStdin: boolean,
  AttachStdout: boolean,
  AttachStderr: boolean,
  ExposedPorts: map(empty, "nat.Port"),
  Tty: boolean,
  OpenStdin: boolean,
  StdinOnce: boolean,
  Env: strings,
  Cmd: stringOrList,
  Healthcheck: healthConfig,
  ArgsEscaped: boolean,
  Image: string(),
  Volumes: map(empty),
  WorkingDir: string(),
  Entrypoint: stringOrList,
  NetworkDisabled: boolean,
  OnBuild: strings,
  Labels: labels,
  StopSignal: string(),
  StopTimeout: int,
  Shell: stringOrList,
  MacAddress: string(),
};

const throttleDevices = list(
  struct<ThrottleDevice>(
    "ThrottleDevice",
    { Path: string(), Rate: integer("uint64", 0, 2 ** 64) },
    "*blkiodev.ThrottleDevice",
  ),
);

const resourcesFields: Parameters<typeof struct<Resources>>[1] = {
  CpuShares: integer(),
  Memory: integer(),
  CgroupParent: string(),
  BlkioWeight: integer("uint16", 0, 65_535),
  BlkioWeightDevice: list(
    struct<{ Path?: string; Weight?: number }>(
      "WeightDevice",
      { Path: string(), Weight: integer("uint16", 0, 65_535) },
      "*blkiodev.WeightDevice",
    ),
  ),
  BlkioDeviceReadBps: throttleDevices,
  BlkioDeviceWriteBps: throttleDevices,
  BlkioDeviceReadIOps: throttleDevices,
  BlkioDeviceWriteIOps: throttleDevices,
  CpuPeriod: integer(),
  CpuQuota: integer(),
  CpuRealtimePeriod: integer(),
  CpuRealtimeRuntime: integer(),
  CpusetCpus: string(),
  CpusetMems: string(),
  Devices: list(
    struct<DeviceMapping>(
      "DeviceMapping",
      { PathOnHost: string(), PathInContainer: string(), CgroupPermissions: string() },
      "container.DeviceMapping",
    ),
  ),
  DeviceCgroupRules: strings,
  DeviceRequests: list(
    struct<DeviceRequest>(
      "DeviceRequest",
      { Driver: string(), Count: int, DeviceIDs: strings, Capabilities: list(strings), Options: labels },
      "container.DeviceRequest",
    ),
  ),
  MemoryReservation: integer(),
  MemorySwap: integer(),
  MemorySwappiness: integer(),
  NanoCpus: integer(),
  OomKillDisable: boolean,
  Init: boolean,
  PidsLimit: integer(),
  Ulimits: list(
    struct<{ Name?: string; Soft?: number; Hard?: number }>(
      "Ulimit",
      { Name: string(), Soft: integer(), Hard: integer() },
      "*container.Ulimit",
    ),
  ),
  CpuCount: integer(),
  CpuPercent: integer(),
  IOMaximumIOps: integer("uint64", 0, 2 ** 64),
  IOMaximumBandwidth: integer("uint64", 0, 2 ** 64),
};

const restartPolicy = struct<RestartPolicy>(
  "RestartPolicy",
  { Name: string("container.RestartPolicyMode"), MaximumRetryCount: int },
  "container.RestartPolicy",
);

const mount = struct<Mount>(
  "Mount",
  {
    Target: string(),
    Source: string(),
    Type: string<MountType>("mount.Type"),
    ReadOnly: boolean,
    Consistency: string("mount.Consistency"),
    BindOptions: struct<NonNullable<Mount["BindOptions"]>>(
      "BindOptions",
      {
        Propagation: string("mount.Propagation"),
        NonRecursive: boolean,
        CreateMountpoint: boolean,
        ReadOnlyNonRecursive: boolean,
        ReadOnlyForceRecursive: boolean,
      },
      "mount.BindOptions",
    ),
    VolumeOptions: struct<NonNullable<Mount["VolumeOptions"]>>(
      "VolumeOptions",
      {
        NoCopy: boolean,
        Labels: labels,
        DriverConfig: struct<{ Name?: string; Options?: Record<string, string> }>(
          "Driver",
          { Name: string(), Options: labels },
          "mount.Driver",
        ),
        Subpath: string(),
      },
      "mount.VolumeOptions",
    ),
    ImageOptions: struct<NonNullable<Mount["ImageOptions"]>>(
      "ImageOptions",
      { Subpath: string() },
      "mount.ImageOptions",
    ),
    TmpfsOptions: struct<NonNullable<Mount["TmpfsOptions"]>>(
      "TmpfsOptions",
      { SizeBytes: integer(), Mode: integer("fs.FileMode", 0, 2 ** 32 - 1), Options: list(strings) },
      "mount.TmpfsOptions",
    ),
  },
  "mount.Mount",
);

const portBindings = map(
  nullable(list(struct<PortBinding>("PortBinding", { HostIp: string(), HostPort: string() }, "nat.PortBinding"))),
  "nat.Port",
);

const hostConfig = struct<HostConfig>(
  "HostConfig",
  {
    ...embedded<Resources>("Resources", resourcesFields),
    Binds: strings,
    ContainerIDFile: string(),
    LogConfig: struct<NonNullable<HostConfig["LogConfig"]>>(
      "LogConfig",
      { Type: string(), Config: labels },
      "container.LogConfig",
    ),
    NetworkMode: string("container.NetworkMode"),
    PortBindings: portBindings,
    RestartPolicy: restartPolicy,
    AutoRemove: boolean,
    VolumeDriver: string(),
    VolumesFrom: strings,
    Mounts: list(mount),
    ConsoleSize: list(unsigned),
    Annotations: labels,
    CapAdd: stringOrList,
    CapDrop: stringOrList,
    CgroupnsMode: string("container.CgroupnsMode"),
    Dns: strings,
    DnsOptions: strings,
    DnsSearch: strings,
    ExtraHosts: strings,
    GroupAdd: strings,
    IpcMode: string("container.IpcMode"),
    Cgroup: string("container.CgroupSpec"),
    Links: strings,
    OomScoreAdj: int,
    PidMode: string("container.PidMode"),
    Privileged: boolean,
    PublishAllPorts: boolean,
    ReadonlyRootfs: boolean,
    SecurityOpt: strings,
    StorageOpt: labels,
    Tmpfs: labels,
    UTSMode: string("container.UTSMode"),
    UsernsMode: string("container.UsernsMode"),
    ShmSize: integer(),
    Sysctls: labels,
    Runtime: string(),
    Isolation: string("container.Isolation"),
    MaskedPaths: strings,
    ReadonlyPaths: strings,
  },
  "container.HostConfig",
);

const endpointSettings = struct<EndpointSettings>(
  "EndpointSettings",
  {
    IPAMConfig: struct<EndpointIPAMConfig>(
      "EndpointIPAMConfig",
      { IPv4Address: string(), IPv6Address: string(), LinkLocalIPs: strings },
      "network.EndpointIPAMConfig",
    ),
    Links: strings,
    MacAddress: string(),
    Aliases: strings,
    DriverOpts: labels,
    GwPriority: int,
    NetworkID: string(),
    EndpointID: string(),
    Gateway: string(),
    IPAddress: string(),
    IPPrefixLen: int,
    IPv6Gateway: string(),
    GlobalIPv6Address: string(),
    GlobalIPv6PrefixLen: int,
    DNSNames: strings,
  },
  "network.EndpointSettings",
);

/** POST /containers/create: a container's configuration with what is the host's part of it beside. */
export interface CreateBody extends OldContainerConfig {
  HostConfig?: HostConfig;
  NetworkingConfig?: NetworkingConfig;
}

export const createBody: Shape<CreateBody> = struct<CreateBody>(
  "CreateRequest",
  {
    ...embedded<OldContainerConfig>("Config", containerConfigFields),
    HostConfig: hostConfig,
    NetworkingConfig: struct<NetworkingConfig>(
      "NetworkingConfig",
      { EndpointsConfig: map(endpointSettings) },
      "network.NetworkingConfig",
    ),
  },
  "container.CreateRequest",
);

/** POST /containers/{id}/update */
export interface UpdateBody extends Resources {
  RestartPolicy?: RestartPolicy;
  PublishAdd?: PortMap;
  PublishRemove?: string[];
  MountAdd?: Mount[];
  MountRemove?: string[];
}

export const updateBody: Shape<UpdateBody> = struct<UpdateBody>(
  "UpdateConfig",
  {
    ...embedded<Resources>("Resources", resourcesFields),
    RestartPolicy: restartPolicy,
    PublishAdd: portBindings,
    PublishRemove: strings,
    MountAdd: list(mount),
    MountRemove: strings,
  },
  "container.UpdateConfig",
);

/** POST /containers/{id}/exec */
export const execCreateBody: Shape<ExecConfig> = struct<ExecConfig>(
  "ExecOptions",
  {
    AttachStdin: boolean,
    AttachStdout: boolean,
    AttachStderr: boolean,
    ConsoleSize: list(unsigned),
    DetachKeys: string(),
    Tty: boolean,
    Env: strings,
    Cmd: strings,
    Privileged: boolean,
    User: string(),
    WorkingDir: string(),
  },
  "container.ExecOptions",
);

/** POST /exec/{id}/start */
export interface ExecStartBody {
  Detach?: boolean;
  Tty?: boolean;
  /** Height and width. */
  ConsoleSize?: number[];
}

export const execStartBody: Shape<ExecStartBody> = struct<ExecStartBody>(
  "ExecStartOptions",
  { Detach: boolean, Tty: boolean, ConsoleSize: list(unsigned) },
  "container.ExecStartOptions",
);

/** POST /volumes/create; cluster volumes are a swarm's. */
export type VolumeCreateBody = Omit<VolumeCreateRequest, "ClusterVolumeSpec">;

export const volumeCreateBody: Shape<VolumeCreateBody> = struct<VolumeCreateBody>(
  "CreateOptions",
  { Name: string(), Driver: string(), DriverOpts: labels, Labels: labels },
  "volume.CreateOptions",
);

/** The platform in the query of POST /images/load. */
export const ociPlatform: Shape<OCIPlatform> = struct<OCIPlatform>("Platform", {
  architecture: string(),
  os: string(),
  "os.version": string(),
  "os.features": strings,
  variant: string(),
});

/** The API's AuthConfig. */
export const authConfig = struct<LoginRequest>("AuthConfig", {
  username: string(),
  password: string(),
  serveraddress: string(),
  identitytoken: string(),
  registrytoken: string(),
});

/** POST /networks/create */
export const networkCreateBody: Shape<NetworkCreateRequest> = struct<NetworkCreateRequest>("CreateRequest", {
  Name: string(),
  Driver: string(),
  Scope: string(),
  Internal: boolean,
  Attachable: boolean,
  Ingress: boolean,
  ConfigOnly: boolean,
  ConfigFrom: struct<ConfigReference>("ConfigReference", { Network: string() }),
  IPAM: struct<IPAM>("IPAM", {
    Driver: string(),
    Options: labels,
    Config: list(
      struct<IPAMConfig>("IPAMConfig", {
        Subnet: string(),
        IPRange: string(),
        Gateway: string(),
        AuxiliaryAddresses: labels,
      }),
    ),
  }),
  EnableIPv4: boolean,
  EnableIPv6: boolean,
  Options: labels,
  Labels: labels,
});

/** POST /networks/{id}/connect */
export const networkConnectBody: Shape<NetworkConnectRequest> = struct<NetworkConnectRequest>("ConnectRequest", {
  Container: string(),
  EndpointConfig: endpointSettings,
});

/** POST /networks/{id}/disconnect */
export const networkDisconnectBody: Shape<NetworkDisconnectRequest> = struct<NetworkDisconnectRequest>(
  "DisconnectRequest",
  { Container: string(), Force: boolean },
);
