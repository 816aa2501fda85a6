# METADATA
# title: minimum TLS version at gateways
# description: |
#   A server of a Gateway that terminates TLS accepts no version below the minimum. Servers of mode
#   ISTIO_MUTUAL and PASSTHROUGH are left alone: Istio fixes the version of the first at 1.2 and above, and
#   the second does not terminate. Where the field is absent Istio accepts 1.2 and above.
# custom:
#   severity: deny
#   kinds: [Gateway]
#   parameters:
#     version:
#       type: string
#       enum: [TLSV1_2, TLSV1_3]
#       default: TLSV1_2
#       description: the lowest version that a server may accept
package sallyport.policies.minimum_tls

order := {"TLSV1_0": 0, "TLSV1_1": 1, "TLSV1_2": 2, "TLS_AUTO": 2, "TLSV1_3": 3}

deny contains {"msg": msg, "path": path, "fix": fix} if {
	some i, server in input.object.spec.servers
	server.tls.mode in {"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"}
	version := object.get(server.tls, "minProtocolVersion", "TLS_AUTO")
	order[version] < order[data.sallyport.minimum_tls.version]
	path := sprintf("spec.servers[%d].tls.minProtocolVersion", [i])
	msg := sprintf("the server accepts TLS from %s; the minimum is %s", [version, data.sallyport.minimum_tls.version])
	fix := sprintf("minProtocolVersion: %s", [data.sallyport.minimum_tls.version])
}
