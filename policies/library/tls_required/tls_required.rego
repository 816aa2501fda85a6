# METADATA
# title: TLS on the way to the external host
# description: |
#   What leaves the gateway crosses networks that nobody here controls. The application speaks TLS itself
#   (protocol HTTPS or TLS), or the gateway originates it, and knows whom it talks to.
# custom:
#   severity: deny
#   parameters:
#     exempt:
#       type: array
#       items: {type: string, pattern: '^(\*|(\*\.)?[a-z0-9_:]([a-z0-9_.:-]*[a-z0-9_:])?)$'}
#       default: []
#       description: hosts that may be reached in clear text, exact or with a leading "*."
#     verified:
#       type: boolean
#       default: true
#       description: whether a gateway that originates TLS must verify the host's certificate
package sallyport.policies.tls_required

deny contains {"msg": msg, "path": point.path, "fix": fix} if {
	some point in input.egress
	point.registered
	not point.tls.external in {"application", "gateway"}
	not exempt(point.patterns)
	msg := sprintf("traffic for %s:%d leaves the gateway without TLS", [point.host, point.port])
	fix := remedy(point.protocol)
}

deny contains {"msg": msg, "path": point.path, "fix": fix} if {
	some point in input.egress
	point.registered
	point.tls.external == "gateway"
	data.sallyport.tls_required.verified
	some path in point.paths
	path.verdict == "via"
	not path.tls.external.verified
	not exempt(point.patterns)
	msg := sprintf("gateway %s takes any certificate for that of %s:%d", [path.gateway, point.host, point.port])
	fix := sprintf("in the DestinationRule of the gateway, tls: {mode: SIMPLE, subjectAltNames: [%s]}, without insecureSkipVerify", [point.host])
}

remedy(protocol) := "let the gateway originate TLS: annotate the ServiceEntry with sallyport.io/originate-tls: \"true\"" if {
	startswith(protocol, "HTTP")
}

remedy(protocol) := "register the port with protocol TLS and let the application speak it" if {
	not startswith(protocol, "HTTP")
}

exempt(patterns) if {
	some pattern in data.sallyport.tls_required.exempt
	pattern in patterns
}
