# METADATA
# title: allowed ports
# description: Egress points use only ports, and per port only protocols, that the list has.
# custom:
#   severity: deny
#   parameters:
#     ports:
#       type: object
#       additionalProperties: {type: array, items: {type: string}}
#       description: for each port number, as text, the protocols allowed on it; an empty list allows every protocol
#       default:
#         "80": [HTTP]
#         "443": [HTTPS, TLS, HTTP, HTTP2, GRPC]
package sallyport.policies.allowed_ports

deny contains {"msg": msg, "path": point.path, "fix": fix} if {
	some point in input.egress
	point.registered
	not permitted(format_int(point.port, 10), point.protocol)
	msg := sprintf("%s on port %d of host %q is not allowed", [point.protocol, point.port, point.host])
	fix := sprintf("use one of the ports %s", [concat(", ", sort(object.keys(data.sallyport.allowed_ports.ports)))])
}

permitted(port, protocol) if protocol in data.sallyport.allowed_ports.ports[port]

permitted(port, _) if count(data.sallyport.allowed_ports.ports[port]) == 0
