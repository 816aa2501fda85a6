package surface

// Controller is a user whom a matchCondition of manifests/webhooks.yaml passes
// over: what it writes, deletions aside, follows from what others wrote.
type Controller struct {
	User   string
	Writes string // what it writes, of that which is judged else
	// From are the resources that tenants steer it by; every one is judged.
	From []Resource
	// Why is what else there is to say; may be empty.
	Why string
}

func core(name string) Resource        { return Resource{Name: name} }
func in(group, name string) Resource   { return Resource{Group: group, Name: name} }
func account(controller string) string { return "system:serviceaccount:kube-system:" + controller }

// Controllers are all that are passed over, by name.
var Controllers = []Controller{
	{
		User: "system:kube-controller-manager", Writes: "all that those below write, where they have no accounts of their own",
		From: []Resource{core("pods"), core("services"), in("apps", "deployments")},
		Why:  "Without --use-service-account-credentials it is one user for all of them.",
	},
	{
		User: "system:kube-scheduler", Writes: "bindings",
		From: []Resource{core("pods")},
		Why:  "It puts no label or annotation of the pod's on a Binding. Only of Bindings it is not asked about.",
	},
	{User: account("cronjob-controller"), Writes: "jobs", From: []Resource{in("batch", "cronjobs")}},
	{
		User: account("daemon-set-controller"), Writes: "pods, controllerrevisions", From: []Resource{in("apps", "daemonsets")},
		Why: "It makes pods of the DaemonSet's own template; revisions are for kubectl rollout undo, which writes the DaemonSet.",
	},
	{
		User: account("deployment-controller"), Writes: "replicasets", From: []Resource{in("apps", "deployments"), in("apps", "replicasets")},
		Why: "A ReplicaSet that it takes up was judged when somebody wrote it.",
	},
	{
		User: account("endpoint-controller"), Writes: "endpoints", From: []Resource{core("services"), core("pods"), core("pods/status")},
		Why: "Addresses are those in the status of pods.",
	},
	{
		User: account("endpointslice-controller"), Writes: "endpointslices", From: []Resource{core("services"), core("pods"), core("pods/status")},
		Why: "Addresses are those in the status of pods.",
	},
	{User: account("endpointslicemirroring-controller"), Writes: "endpointslices", From: []Resource{core("endpoints"), core("services")}},
	{
		User: account("generic-garbage-collector"), Writes: "the ownerReferences of what is to outlive its owner",
		From: []Resource{in("networking.istio.io", "virtualservices"), in("networking.istio.io", "serviceentries")},
		Why:  "It goes by ownerReferences, which are part of every judged object. What it deletes is judged.",
	},
	{User: account("job-controller"), Writes: "pods", From: []Resource{in("batch", "jobs")}},
	{
		User: account("namespace-controller"), Writes: "the finalizers of a namespace that is being deleted", From: []Resource{core("namespaces")},
		Why: "That deletion was judged, and what it deletes is.",
	},
	{User: account("replicaset-controller"), Writes: "pods", From: []Resource{in("apps", "replicasets")}},
	{User: account("replication-controller"), Writes: "pods", From: []Resource{core("replicationcontrollers")}},
	{
		User: account("statefulset-controller"), Writes: "pods, controllerrevisions", From: []Resource{in("apps", "statefulsets"), in("apps", "controllerrevisions"), in("apps", "statefulsets/status")},
		Why: "It makes pods of the revision that the status names, whoever wrote it.",
	},
}
