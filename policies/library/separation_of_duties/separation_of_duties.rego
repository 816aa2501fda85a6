# METADATA
# title: separation of duties for new hosts
# description: |
#   A new external host is opened only by the listed users or groups. Everybody else may edit or remove what
#   is there. Nothing is said of files that are reviewed before somebody applies them: nobody writes them yet.
# custom:
#   severity: deny
#   parameters:
#     groups:
#       type: array
#       items: {type: string}
#       default: []
#       description: groups whose members may open a host
#     users:
#       type: array
#       items: {type: string}
#       default: []
#       description: users, service accounts included, that may open a host
package sallyport.policies.separation_of_duties

deny contains {"msg": msg, "path": point.path, "fix": fix} if {
	some point in input.egress
	point.new
	input.request.user != ""
	not permitted
	msg := sprintf("user %q may not open the new host %q", [input.request.user, point.host])
	fix := sprintf("ask one of %s to apply the change", [concat(", ", array.concat(
		data.sallyport.separation_of_duties.groups,
		data.sallyport.separation_of_duties.users,
	))])
}

permitted if {
	some group in input.request.groups
	group in data.sallyport.separation_of_duties.groups
}

permitted if input.request.user in data.sallyport.separation_of_duties.users
