/**
 * The shapes that `inspect -f` gives to a template, so that it sees Docker's fields in Docker's order, with zero values
 * and nil pointers where the engine left something out. See template/types.ts for the notation.
 */
import { parseTypes } from "../../lib/template/types.ts";
import type { GoType } from "../../lib/template/values.ts";

const SOURCE = `
struct{}:
container.InspectResponse: +ContainerJSONBase *container.ContainerJSONBase, Mounts []container.MountPoint, Config *container.Config, NetworkSettings *container.NetworkSettings, ImageManifestDescriptor *v1.Descriptor?
container.ContainerJSONBase: ID:Id string, Created string, Path string, Args []string, State *container.State, Image string, ResolvConfPath string, HostnamePath string, HostsPath string, LogPath string, Name string, RestartCount int, Driver string, Platform string, MountLabel string, ProcessLabel string, AppArmorProfile string, ExecIDs []string, HostConfig *container.HostConfig, GraphDriver storage.DriverData, SizeRw *int?, SizeRootFs *int?
container.State: Status string, Running bool, Paused bool, Restarting bool, OOMKilled bool, Dead bool, Pid int, ExitCode int, Error string, StartedAt string, FinishedAt string, Health *container.Health?
container.Health: Status string, FailingStreak int, Log []*container.HealthcheckResult
container.HealthcheckResult: Start time, End time, ExitCode int, Output string
container.MountPoint: Type string?, Name string?, Source string, Destination string, Driver string?, Mode string, RW bool, Propagation string
container.LogConfig: Type string, Config map:string
container.RestartPolicy: Name string, MaximumRetryCount int
nat.PortBinding: HostIP:HostIp string, HostPort string
container.HostConfig: Binds []string, ContainerIDFile string, LogConfig container.LogConfig, NetworkMode string, PortBindings =nat.PortMap:map:[]nat.PortBinding, RestartPolicy container.RestartPolicy, AutoRemove bool, VolumeDriver string, VolumesFrom []string, ConsoleSize =[2]uint:[]int, Annotations map:string?, CapAdd =strslice.StrSlice:[]string, CapDrop =strslice.StrSlice:[]string, CgroupnsMode string, DNS:Dns []string, DNSOptions:DnsOptions []string, DNSSearch:DnsSearch []string, ExtraHosts []string, GroupAdd []string, IpcMode string, Cgroup string, Links []string, OomScoreAdj int, PidMode string, Privileged bool, PublishAllPorts bool, ReadonlyRootfs bool, SecurityOpt []string, StorageOpt map:string?, Tmpfs map:string?, UTSMode string, UsernsMode string, ShmSize int, Sysctls map:string?, Runtime string?, Isolation string, +Resources container.Resources, Mounts []mount.Mount?, MaskedPaths []string, ReadonlyPaths []string, Init *bool?
container.Resources: CPUShares:CpuShares int, Memory int, NanoCPUs:NanoCpus int, CgroupParent string, BlkioWeight int, BlkioWeightDevice []*blkiodev.WeightDevice, BlkioDeviceReadBps []*blkiodev.ThrottleDevice, BlkioDeviceWriteBps []*blkiodev.ThrottleDevice, BlkioDeviceReadIOps []*blkiodev.ThrottleDevice, BlkioDeviceWriteIOps []*blkiodev.ThrottleDevice, CPUPeriod:CpuPeriod int, CPUQuota:CpuQuota int, CPURealtimePeriod:CpuRealtimePeriod int, CPURealtimeRuntime:CpuRealtimeRuntime int, CpusetCpus string, CpusetMems string, Devices []container.DeviceMapping, DeviceCgroupRules []string, DeviceRequests []container.DeviceRequest, KernelMemory int?, KernelMemoryTCP int?, MemoryReservation int, MemorySwap int, MemorySwappiness *int, OomKillDisable *bool, PidsLimit *int, Ulimits []*units.Ulimit, CPUCount:CpuCount int, CPUPercent:CpuPercent int, IOMaximumIOps int, IOMaximumBandwidth int
blkiodev.WeightDevice: Path string, Weight int
blkiodev.ThrottleDevice: Path string, Rate int
container.DeviceMapping: PathOnHost string, PathInContainer string, CgroupPermissions string
container.DeviceRequest: Driver string, Count int, DeviceIDs []string, Capabilities [][]string, Options map:string
units.Ulimit: Name string, Hard int, Soft int
mount.Mount: Type string?, Source string?, Target string?, ReadOnly bool?, Consistency string?, BindOptions *mount.BindOptions?, VolumeOptions *mount.VolumeOptions?, ImageOptions *mount.ImageOptions?, TmpfsOptions *mount.TmpfsOptions?, ClusterOptions *struct{}?
mount.BindOptions: Propagation string?, NonRecursive bool?, CreateMountpoint bool?, ReadOnlyNonRecursive bool?, ReadOnlyForceRecursive bool?
mount.VolumeOptions: NoCopy bool?, Labels map:string?, Subpath string?, DriverConfig *mount.Driver?
mount.Driver: Name string?, Options map:string?
mount.ImageOptions: Subpath string?
mount.TmpfsOptions: SizeBytes int?, Mode int?, Options [][]string?
v1.HealthcheckConfig: Test []string?, Interval int?, Timeout int?, StartPeriod int?, StartInterval int?, Retries int?
container.Config: Hostname string, Domainname string, User string, AttachStdin bool, AttachStdout bool, AttachStderr bool, ExposedPorts =nat.PortSet:map:struct{}?, Tty bool, OpenStdin bool, StdinOnce bool, Env []string, Cmd =strslice.StrSlice:[]string, Healthcheck *v1.HealthcheckConfig?, ArgsEscaped bool?, Image string, Volumes map:struct{}, WorkingDir string, Entrypoint =strslice.StrSlice:[]string, NetworkDisabled bool?, MacAddress string?, OnBuild []string, Labels map:string, StopSignal string?, StopTimeout *int?, Shell =strslice.StrSlice:[]string?
container.NetworkSettings: +NetworkSettingsBase container.NetworkSettingsBase, +DefaultNetworkSettings container.DefaultNetworkSettings, Networks map:*network.EndpointSettings
container.NetworkSettingsBase: Bridge string, SandboxID string, SandboxKey string, Ports =nat.PortMap:map:[]nat.PortBinding, HairpinMode bool, LinkLocalIPv6Address string, LinkLocalIPv6PrefixLen int, SecondaryIPAddresses []network.Address, SecondaryIPv6Addresses []network.Address
container.DefaultNetworkSettings: EndpointID string, Gateway string, GlobalIPv6Address string, GlobalIPv6PrefixLen int, IPAddress string, IPPrefixLen int, IPv6Gateway string, MacAddress string
network.Address: Addr string, PrefixLen int
network.EndpointSettings: IPAMConfig *network.EndpointIPAMConfig, Links []string, Aliases []string, MacAddress string, DriverOpts map:string, GwPriority int, NetworkID string, EndpointID string, Gateway string, IPAddress string, IPPrefixLen int, IPv6Gateway string, GlobalIPv6Address string, GlobalIPv6PrefixLen int, DNSNames []string
network.EndpointIPAMConfig: IPv4Address string?, IPv6Address string?, LinkLocalIPs []string?
storage.DriverData: Data map:string, Name string
v1.Descriptor: MediaType:mediaType string, Digest:digest string, Size:size int, URLs:urls []string?, Annotations:annotations map:string?, Data:data string?, Platform:platform *v1.Platform?, ArtifactType:artifactType string?
v1.Platform: Architecture:architecture string, OS:os string, OSVersion:os.version string?, OSFeatures:os.features []string?, Variant:variant string?
image.InspectResponse: ID:Id string, RepoTags []string, RepoDigests []string, Parent string, Comment string, Created string?, Container string?, ContainerConfig *container.Config?, DockerVersion string, Author string, Config *v1.DockerOCIImageConfig, Architecture string, Variant string?, Os string, OsVersion string?, Size int, VirtualSize int?, GraphDriver storage.DriverData, RootFS image.RootFS, Metadata image.Metadata, Descriptor *v1.Descriptor?, Manifests []any?
v1.DockerOCIImageConfig: +ImageConfig v1.ImageConfig, +DockerOCIImageConfigExt v1.DockerOCIImageConfigExt
v1.ImageConfig: User string?, ExposedPorts map:struct{}?, Env []string?, Entrypoint []string?, Cmd []string?, Volumes map:struct{}?, WorkingDir string?, Labels map:string?, StopSignal string?, ArgsEscaped bool?
v1.DockerOCIImageConfigExt: Healthcheck *v1.HealthcheckConfig?, OnBuild []string?, Shell []string?
image.RootFS: Type string?, Layers []string?
image.Metadata: LastTagTime time?
network.Inspect: Name string, ID:Id string, Created time, Scope string, Driver string, EnableIPv4 bool, EnableIPv6 bool, IPAM network.IPAM, Internal bool, Attachable bool, Ingress bool, ConfigFrom network.ConfigReference, ConfigOnly bool, Containers map:network.EndpointResource, Options map:string, Labels map:string, Peers []network.PeerInfo?, Services map:any?
network.IPAM: Driver string, Options map:string, Config []network.IPAMConfig
network.IPAMConfig: Subnet string?, IPRange string?, Gateway string?, AuxAddress:AuxiliaryAddresses map:string?
network.ConfigReference: Network string
network.EndpointResource: Name string, EndpointID string, MacAddress string, IPv4Address string, IPv6Address string
network.PeerInfo: Name string, IP string
volume.Volume: ClusterVolume *struct{}?, CreatedAt string?, Driver string, Labels map:string, Mountpoint string, Name string, Options map:string, Scope string, Status map:any?, UsageData *volume.UsageData?
volume.UsageData: RefCount int, Size int
`;

const ROOTS = {
  container: "container.InspectResponse",
  image: "image.InspectResponse",
  network: "network.Inspect",
  volume: "volume.Volume",
};

/** What has a shape of its own. */
export type Inspectable = keyof typeof ROOTS;

let types: Map<string, GoType> | undefined;

/** The type of what an object's inspection answers. */
export function inspectType(kind: Inspectable): GoType {
  types ??= parseTypes(SOURCE);
  return types.get(ROOTS[kind])!;
}
