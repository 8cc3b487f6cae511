"""A communicator for tests: the ranks are threads of this process, and what they send is pickled as MPI would."""

import pickle
import threading

PATIENCE = 60  # seconds until a rank that waits in vain gives up, so that a test fails instead of hanging


class Meeting:
    """Where the ranks wait for each other, and a count of their messages."""

    def __init__(self, size):
        self.size = size
        self.barrier = threading.Barrier(size, timeout=PATIENCE)
        self.table = [None] * size
        self.sums = []  # the lengths of the arrays that were summed

    def communicator(self, rank):
        return ThreadComm(self, rank)


class ThreadComm:
    def __init__(self, meeting, rank):
        self.meeting, self.rank, self.size = meeting, rank, meeting.size

    def allgather(self, sendobj):
        self.meeting.table[self.rank] = pickle.dumps(sendobj)
        self.meeting.barrier.wait()
        everybody = [pickle.loads(item) for item in self.meeting.table]
        self.meeting.barrier.wait()
        return everybody

    def bcast(self, obj):
        return self.allgather(obj if self.rank == 0 else None)[0]

    def Allreduce(self, sendbuf, recvbuf):
        if self.rank == 0:
            self.meeting.sums.append(len(sendbuf))
        recvbuf[...] = sum(self.allgather(sendbuf))


def on_ranks(size, work):
    """``work(comm)`` on every rank: what each returns, or the exception that it raises; and the meeting."""
    meeting = Meeting(size)
    results = [None] * size

    def run(rank):
        try:
            results[rank] = work(meeting.communicator(rank))
        except BaseException as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, meeting
