"""The job protocol: the scripts that change jobs, for clients and for the owner of a lease.

Other scripts are called where their records are: archive, access keys, datasets, job lists.
"""
