! hpctrack.f90 - log numbers from Fortran into the run that `hpctrack run` has begun.
!
!     use hpctrack                   gfortran $(hpctrack cflags --fortran --c-source) sim.f90 -o sim
!                                    srun -n 64 hpctrack run -- ./sim
!     call hpct_init()
!     do step = 1, steps
!        call hpct_log("residual", step, residual)
!     end do
!     call hpct_finish()
!
! Compile it and hpctrack.c with your program, with any compilers of Fortran 2003 and C99. What
! holds for the procedures stands in hpctrack.h: none of them stops the program or waits for
! anything. Blanks at the end of a name do not count.
module hpctrack
   use, intrinsic :: iso_c_binding, only: c_char, c_double, c_float, c_int, c_int32_t, c_int64_t, &
      c_loc, c_null_char, c_ptr
   implicit none
   private
   public :: hpct_init, hpct_log, hpct_should_stop, hpct_dropped, hpct_finish

   ! hpct_log(name, step, value): value is real or double precision, or an integer; step is an
   ! integer of 4 or 8 bytes.
   ! hpct_log(names, step, values): several values of one step; values are double precision.
   interface hpct_log
      module procedure log_double, log_double_8, log_real, log_real_8, log_integer, log_many, &
         log_many_8
   end interface hpct_log

   interface
      function c_init() bind(c, name="hpct_init")
         import :: c_int
         integer(c_int) :: c_init
      end function c_init
      function c_log(name, step, value) bind(c, name="hpct_log")
         import :: c_char, c_int, c_int64_t, c_double
         character(kind=c_char), intent(in) :: name(*)
         integer(c_int64_t), value :: step
         real(c_double), value :: value
         integer(c_int) :: c_log
      end function c_log
      function c_log_many(step, count, names, values) bind(c, name="hpct_log_many")
         import :: c_int, c_int64_t, c_double, c_ptr
         integer(c_int64_t), value :: step
         integer(c_int), value :: count
         type(c_ptr), intent(in) :: names(*)
         real(c_double), intent(in) :: values(*)
         integer(c_int) :: c_log_many
      end function c_log_many
      function c_should_stop() bind(c, name="hpct_should_stop")
         import :: c_int
         integer(c_int) :: c_should_stop
      end function c_should_stop
      function c_dropped() bind(c, name="hpct_dropped")
         import :: c_int64_t
         integer(c_int64_t) :: c_dropped
      end function c_dropped
      function c_finish(exit_code) bind(c, name="hpct_finish")
         import :: c_int
         integer(c_int), value :: exit_code
         integer(c_int) :: c_finish
      end function c_finish
   end interface

contains

   ! Join the run; before or after MPI_Init. recorded: whether an agent records.
   subroutine hpct_init(recorded)
      logical, intent(out), optional :: recorded
      integer(c_int) :: answer
      answer = c_init()
      if (present(recorded)) recorded = answer /= 0
   end subroutine hpct_init

   ! Whether somebody asks the program to end: save, and leave.
   function hpct_should_stop() result(is_asked)
      logical :: is_asked
      is_asked = c_should_stop() /= 0
   end function hpct_should_stop

   ! How many values were dropped so far.
   function hpct_dropped() result(values)
      integer(c_int64_t) :: values
      values = c_dropped()
   end function hpct_dropped

   ! End this rank's part of the run; done by itself, as a success, when the program ends.
   subroutine hpct_finish(exit_code)
      integer(c_int), intent(in), optional :: exit_code
      integer(c_int) :: answer
      answer = 0
      if (present(exit_code)) answer = exit_code
      answer = c_finish(answer)
   end subroutine hpct_finish

   subroutine log_double_8(name, step, value)
      character(len=*), intent(in) :: name
      integer(c_int64_t), intent(in) :: step
      real(c_double), intent(in) :: value
      integer(c_int) :: kept
      kept = c_log(trim(name)//c_null_char, step, value)
   end subroutine log_double_8

   subroutine log_double(name, step, value)
      character(len=*), intent(in) :: name
      integer(c_int32_t), intent(in) :: step
      real(c_double), intent(in) :: value
      call log_double_8(name, int(step, c_int64_t), value)
   end subroutine log_double

   subroutine log_real_8(name, step, value)
      character(len=*), intent(in) :: name
      integer(c_int64_t), intent(in) :: step
      real(c_float), intent(in) :: value
      call log_double_8(name, step, real(value, c_double))
   end subroutine log_real_8

   subroutine log_real(name, step, value)
      character(len=*), intent(in) :: name
      integer(c_int32_t), intent(in) :: step
      real(c_float), intent(in) :: value
      call log_double_8(name, int(step, c_int64_t), real(value, c_double))
   end subroutine log_real

   subroutine log_integer(name, step, value)
      character(len=*), intent(in) :: name
      integer(c_int32_t), intent(in) :: step, value
      call log_double_8(name, int(step, c_int64_t), real(value, c_double))
   end subroutine log_integer

   subroutine log_many_8(names, step, values)
      character(len=*), intent(in) :: names(:)
      integer(c_int64_t), intent(in) :: step
      real(c_double), intent(in) :: values(:)
      integer, parameter :: room = 64
      character(kind=c_char, len=514), target :: texts(room)
      type(c_ptr) :: places(room)
      integer :: first, i, count
      integer(c_int) :: kept
      do first = 1, min(size(names), size(values)), room
         count = min(room, size(names) - first + 1, size(values) - first + 1)
         do i = 1, count
            texts(i) = trim(names(first + i - 1))//c_null_char
            places(i) = c_loc(texts(i))
         end do
         kept = c_log_many(step, int(count, c_int), places, values(first:first + count - 1))
      end do
   end subroutine log_many_8

   subroutine log_many(names, step, values)
      character(len=*), intent(in) :: names(:)
      integer(c_int32_t), intent(in) :: step
      real(c_double), intent(in) :: values(:)
      call log_many_8(names, int(step, c_int64_t), values)
   end subroutine log_many

end module hpctrack
